// What a layer's inputs have drifted by, and the matrix that takes it back: when a layer that was to see x sees z instead,
// because the layers before it were quantized, W x is best predicted from z by W + W M, M = E[(x - z) z^T] E[z z^T]^-1.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// E[(x - y) z^T] for x, y of `width` values and z of `input_width`, summed in double over batches of at most 512 samples;
// inside a batch in single precision, which loses nothing that matters because it is the difference that is multiplied.
// All methods may be called from several threads at once.
class DriftMoment {
 public:
  DriftMoment(size_t width, size_t input_width);

  size_t width() const { return width_; }
  size_t input_width() const { return input_width_; }
  size_t tokens() const;

  // x, y: tokens x width; z: tokens x input_width.
  void add(const float* x, const float* y, const float* z, size_t tokens, ThreadPool& pool);
  // width x input_width. Raises EMPTY before the first token.
  std::vector<double> mean() const;

 private:
  const size_t width_, input_width_;
  mutable std::mutex mutex_;
  size_t tokens_ = 0;
  std::vector<double> sums_;
};

// M = C (H + ridge * mean diagonal of H * I)^-1 for a moment C (rows x columns) and H (columns x columns, symmetric): the
// linear map that predicts best, with a penalty on its size. Raises INVALID_ARGUMENT when H plus ridge is not positive definite.
std::vector<float> ridge_regression(const double* moment, size_t rows, const double* hessian, size_t columns,
                                    double ridge, ThreadPool& pool);

}  // namespace pyramidion
