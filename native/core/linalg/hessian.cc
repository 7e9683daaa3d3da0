#include "core/linalg/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/linalg/moment_sums.h"
#include "core/linalg/product.h"
#include "core/linalg/symmetric.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Columns whose magnitudes are summed together.
constexpr size_t kColumns = 128;
// Rows of the mean divided at a time.
constexpr size_t kMeanRows = 64;
// Rows of the error multiplied at a time.
constexpr size_t kRows = 256;

}  // namespace

Hessian::Hessian(size_t width, std::unique_ptr<TileSums> sums)
    : width_(width),
      sums_(sums == nullptr ? width * width : 0),
      elsewhere_(std::move(sums)),
      largest_mean_magnitude_(width) {}

size_t Hessian::tokens() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return tokens_;
}

void Hessian::add(const float* x, const float* weights, size_t tokens, ThreadPool& pool) {
  if (tokens == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  observe_magnitudes(x, tokens, pool);
  const std::vector<float> ones(weights == nullptr ? std::min(tokens, tile) : 0, 1.0f);
  for (size_t first = 0; first < tokens;) {
    const size_t count = std::min(tile - pending_, tokens - first);
    const float* samples = x + first * width_;
    const float* tile_weights = weights == nullptr ? ones.data() : weights + first;
    first += count;
    if (count == tile) {
      add_tile(samples, tile_weights, tile, pool);
      continue;
    }
    samples_.resize(pending_ * width_);
    weights_.resize(pending_);
    samples_.insert(samples_.end(), samples, samples + count * width_);
    weights_.insert(weights_.end(), tile_weights, tile_weights + count);
    pending_ += count;
    if (pending_ < tile) continue;
    add_tile(samples_.data(), weights_.data(), tile, pool);
    pending_ = 0;
  }
  tokens_ += tokens;
}

void Hessian::add_tile(const float* x, const float* weights, size_t count, ThreadPool& pool) {
  if (elsewhere_ != nullptr) return elsewhere_->add(x, weights, count);
  add_moments({x, nullptr, weights}, width_, x, width_, count, Part::lower, sums_.data(), pool);
}

void Hessian::observe_magnitudes(const float* x, size_t tokens, ThreadPool& pool) {
  pool.parallel_for(width_, kColumns, [&](size_t begin, size_t end) {
    double magnitudes[kColumns] = {};
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t column = begin; column < end; ++column)
        magnitudes[column - begin] += std::fabs(x[t * width_ + column]);
    }
    for (size_t column = begin; column < end; ++column) {
      double& largest = largest_mean_magnitude_[column];
      largest = std::max(largest, magnitudes[column - begin] / static_cast<double>(tokens));
    }
  });
}

std::vector<double> Hessian::mean(ThreadPool& pool) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (tokens_ == 0) throw Error("EMPTY", "the Hessian has no tokens yet: call add() first");
  if (elsewhere_ != nullptr) {
    sums_.resize(width_ * width_);
    elsewhere_->read(sums_.data());
    elsewhere_.reset();
  }
  std::vector<double> mean = sums_;
  if (pending_ > 0) {
    const MomentSamples pending{samples_.data(), nullptr, weights_.data()};
    add_moments(pending, width_, samples_.data(), width_, pending_, Part::lower, mean.data(), pool);
  }
  pool.parallel_for(width_, kMeanRows, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      for (size_t j = 0; j <= i; ++j) mean[i * width_ + j] /= static_cast<double>(tokens_);
    }
  });
  mirror_lower(mean.data(), width_, pool);
  return mean;
}

std::vector<double> Hessian::mean_magnitude() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return largest_mean_magnitude_;
}

double expected_error(const float* error, size_t rows, size_t columns, const double* hessian, ThreadPool& pool) {
  std::vector<double> weighted(std::min(kRows, rows) * columns), traces(rows);
  for (size_t first = 0; first < rows; first += kRows) {
    const size_t count = std::min(kRows, rows - first);
    const std::vector<double> chunk(error + first * columns, error + (first + count) * columns);
    product<double>(MatrixView<const double>(chunk.data(), count, columns),
                    MatrixView<const double>(hessian, columns, columns), 1.0, false, {weighted.data(), count, columns},
                    pool);
    for (size_t row = 0; row < count; ++row) {
      traces[first + row] =
          float_kernels().f64.dot(chunk.data() + row * columns, weighted.data() + row * columns, columns);
    }
  }
  return std::accumulate(traces.begin(), traces.end(), 0.0) / static_cast<double>(rows);
}

}  // namespace pyramidion
