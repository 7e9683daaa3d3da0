// Second moments on a GPU, for core/linalg/hessian.h: products of tiles are those of the processor's fused
// multiply-adds, in the same order, so the same bits.
#pragma once

#include "core/linalg/tile_sums.h"
#include "cuda/driver/memory.h"
#include "cuda/driver/stream.h"

namespace pyramidion::cuda {

class HessianSums : public TileSums {
 public:
  // 8 width^2 bytes of the device, and room for a tile of `tile` samples. Throws DEVICE_UNAVAILABLE, DEVICE_ERROR,
  // OUT_OF_MEMORY.
  HessianSums(size_t width, size_t tile);
  ~HessianSums() override;

  // Returns while the device still computes.
  void add(const float* x, const float* weights, size_t count) override;
  void read(double* sums) override;

 private:
  const Context& context_;
  size_t width_;
  Stream stream_;
  // The samples, then their weights.
  PinnedBuffer host_tile_;
  DeviceBuffer tile_, sums_;
};

}  // namespace pyramidion::cuda
