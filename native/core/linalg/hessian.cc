#include "core/linalg/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/linalg/product.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Tokens turned into doubles at a time.
constexpr size_t kTokens = 512;
// Rows of the error multiplied at a time.
constexpr size_t kRows = 256;

}  // namespace

Hessian::Hessian(size_t width) : width_(width), sums_(width * width), largest_mean_magnitude_(width) {}

size_t Hessian::tokens() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return tokens_;
}

void Hessian::add(const float* x, size_t tokens, ThreadPool& pool) {
  if (tokens == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<double> magnitudes(width_);
  for (size_t first = 0; first < tokens; first += kTokens) {
    const size_t count = std::min(kTokens, tokens - first);
    const std::vector<double> chunk(x + first * width_, x + (first + count) * width_);
    for (size_t i = 0; i < chunk.size(); i += width_) {
      for (size_t column = 0; column < width_; ++column) magnitudes[column] += std::fabs(chunk[i + column]);
    }
    const MatrixView<const double> samples(chunk.data(), count, width_);
    product<double>(samples.transposed(), samples, 1.0, true, {sums_.data(), width_, width_}, pool, Part::lower);
  }
  tokens_ += tokens;
  for (size_t column = 0; column < width_; ++column) {
    double& largest = largest_mean_magnitude_[column];
    largest = std::max(largest, magnitudes[column] / static_cast<double>(tokens));
  }
}

std::vector<double> Hessian::mean() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (tokens_ == 0) throw Error("EMPTY", "the Hessian has no tokens yet: call add() first");
  std::vector<double> mean(width_ * width_);
  for (size_t i = 0; i < width_; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      mean[i * width_ + j] = mean[j * width_ + i] = sums_[i * width_ + j] / static_cast<double>(tokens_);
    }
  }
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
