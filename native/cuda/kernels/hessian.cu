// Second moments of inputs, sums += sum_t w_t x_t x_t', of which the lower triangle is kept, in double: products of 256
// tokens are summed in single precision, as native/core/linalg/hessian.cc does. A block takes a tile of 64 x 64
// moments, a thread 4 x 4.
#include "cuda/kernels/target.cuh"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// Tokens in shared memory at a time, and those summed in single precision.
constexpr uint32_t kStep = 16, kTile = 256;

// Tokens first .. first + kStep - 1 of 64 columns, zeros beyond what there is; weighted: times the tokens' weights.
__device__ __forceinline__ void load_step(const HessianParameters& p, uint32_t first, uint32_t column, bool weighted,
                                          float (*step)[kHessianTile]) {
  for (uint32_t i = threadIdx.x; i < kStep * kHessianTile; i += kHessianThreads) {
    const uint32_t token = first + i / kHessianTile, at = column + i % kHessianTile;
    float value = 0;
    if (token < p.tokens && at < p.width) {
      value = __ldg(p.x + static_cast<size_t>(token) * p.width + at);
      if (weighted && p.weights != nullptr) value *= __ldg(p.weights + token);
    }
    step[i / kHessianTile][i % kHessianTile] = value;
  }
}

extern "C" __global__ void __launch_bounds__(kHessianThreads) hessian_add(HessianParameters p) {
  SHARED_VARIABLE(float[kStep][kHessianTile], left);
  SHARED_VARIABLE(float[kStep][kHessianTile], right);
  // Blocks count the tiles of the lower triangle, row by row of tiles.
  uint32_t tile_row = 0, tile_column = blockIdx.x;
  while (tile_column > tile_row) tile_column -= ++tile_row;
  const uint32_t first_row = tile_row * kHessianTile, first_column = tile_column * kHessianTile;
  const uint32_t row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;

  for (uint32_t tile = 0; tile < p.tokens; tile += kTile) {
    const uint32_t last = tile + kTile < p.tokens ? tile + kTile : p.tokens;
    float sums[4][4] = {};
    for (uint32_t first = tile; first < last; first += kStep) {
      __syncthreads();
      load_step(p, first, first_row, true, left);
      load_step(p, first, first_column, false, right);
      __syncthreads();
#pragma unroll 4
      for (uint32_t k = 0; k < kStep; ++k) {
        const float4 a = *reinterpret_cast<const float4*>(&left[k][row]);
        const float4 b = *reinterpret_cast<const float4*>(&right[k][column]);
        const float rows[4] = {a.x, a.y, a.z, a.w}, columns[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(rows[i], columns[j], sums[i][j]);
        }
      }
    }
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
#pragma unroll
      for (uint32_t j = 0; j < 4; ++j) {
        const uint32_t y = first_row + row + i, x = first_column + column + j;
        if (y < p.width && x <= y) p.sums[static_cast<size_t>(y) * p.width + x] += sums[i][j];
      }
    }
  }
}

}  // namespace pyramidion::cuda
