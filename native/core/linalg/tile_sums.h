// Second moments added up tile by tile elsewhere than in the process: on a device.
#pragma once

#include <cstddef>

namespace pyramidion {

class TileSums {
 public:
  virtual ~TileSums() = default;

  // sums (lower triangle, in double) += sum_t weights[t] x_t x_t^T in single precision over `count` samples of the
  // width it was made for; weights: null for ones. Throws DEVICE_ERROR.
  virtual void add(const float* x, const float* weights, size_t count) = 0;
  // width x width, of which the lower triangle counts. Throws DEVICE_ERROR.
  virtual void read(double* sums) = 0;
};

}  // namespace pyramidion
