#include "core/linalg/drift.h"

#include <algorithm>

#include "core/error.h"
#include "core/linalg/cholesky.h"
#include "core/linalg/moment_sums.h"

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
  for (size_t first = 0; first < tokens; first += kTokens) {
    const size_t count = std::min(kTokens, tokens - first);
    const MomentSamples difference{x + first * width_, y + first * width_};
    add_moments(difference, width_, z + first * input_width_, input_width_, count, Part::all, sums_.data(), pool);
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
