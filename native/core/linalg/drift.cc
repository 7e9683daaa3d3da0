#include "core/linalg/drift.h"

#include <algorithm>

#include "core/error.h"
#include "core/linalg/cholesky.h"
#include "core/linalg/product.h"

namespace pyramidion {
namespace {

constexpr size_t kTokens = 512;

}  // namespace

DriftMoment::DriftMoment(size_t width, size_t input_width)
    : width_(width), input_width_(input_width), sums_(width * input_width) {}

size_t DriftMoment::tokens() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return tokens_;
}

void DriftMoment::add(const float* x, const float* y, const float* z, size_t tokens, ThreadPool& pool) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<float> difference, batch(tokens > 0 ? sums_.size() : 0);
  for (size_t first = 0; first < tokens; first += kTokens) {
    const size_t count = std::min(kTokens, tokens - first);
    difference.resize(count * width_);
    for (size_t i = 0; i < difference.size(); ++i) difference[i] = x[first * width_ + i] - y[first * width_ + i];
    product<float>(MatrixView<const float>(difference.data(), count, width_).transposed(),
                   MatrixView<const float>(z + first * input_width_, count, input_width_), 1.0f, false,
                   {batch.data(), width_, input_width_}, pool);
    pool.parallel_for(sums_.size(), 1 << 16, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) sums_[i] += static_cast<double>(batch[i]);
    });
  }
  tokens_ += tokens;
}

std::vector<double> DriftMoment::mean() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (tokens_ == 0) throw Error("EMPTY", "the moment has no tokens yet: call add() first");
  std::vector<double> mean(sums_);
  for (double& value : mean) value /= static_cast<double>(tokens_);
  return mean;
}

std::vector<float> ridge_regression(const double* moment, size_t rows, const double* hessian, size_t columns,
                                    double ridge, ThreadPool& pool) {
  std::vector<double> factor(hessian, hessian + columns * columns), solution(moment, moment + rows * columns);
  double mean = 0;
  for (size_t i = 0; i < columns; ++i) mean += factor[i * columns + i] / static_cast<double>(columns);
  for (size_t i = 0; i < columns; ++i) factor[i * columns + i] += ridge * mean;
  cholesky(factor.data(), columns, pool);
  solve_from_right(factor.data(), columns, solution.data(), rows, pool);
  return {solution.begin(), solution.end()};
}

}  // namespace pyramidion
