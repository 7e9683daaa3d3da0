// Second moments of a layer's input, the Hessian of its squared output error: H = E[x x^T], summed in double.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// All methods may be called from several threads at once.
class Hessian {
 public:
  explicit Hessian(size_t width);

  size_t width() const { return width_; }
  size_t tokens() const;

  // x: tokens x width. How samples are spread over calls changes the sum by rounding in double only.
  void add(const float* x, size_t tokens, ThreadPool& pool);
  // width x width: E[x x^T]. Raises EMPTY before the first token.
  std::vector<double> mean() const;
  // Of each column, the largest over calls of add of mean |x|: the statistic of L2QER (arXiv 2402.02446, section 3.2).
  std::vector<double> mean_magnitude() const;

 private:
  const size_t width_;
  mutable std::mutex mutex_;
  size_t tokens_ = 0;
  // Lower triangle.
  std::vector<double> sums_;
  std::vector<double> largest_mean_magnitude_;
};

// trace(E H E^T) / rows, the expected squared error of an output: error is rows x columns, hessian columns x columns.
double expected_error(const float* error, size_t rows, size_t columns, const double* hessian, ThreadPool& pool);

}  // namespace pyramidion
