// The end of a product with a few tokens: a block's threads hold their shares in the outputs of four rows.
#pragma once

#include "cuda/kernels/activations.cuh"

namespace pyramidion::cuda {

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

// A row of B times t, a warp's lanes sharing the rank.
__device__ __forceinline__ float low_rank_dot(const LowRankUp& up, uint32_t row, uint32_t token, uint32_t lane) {
  float sum = 0;
  for (uint32_t k = lane; k < up.rank; k += 32) {
    sum = fmaf(up_factor(up, row, k), __ldg(up.projected + static_cast<size_t>(token) * up.rank + k), sum);
  }
  return warp_sum(sum);
}

// Reduces the shares in a fixed order, over the warps, then over the block, and writes the outputs of the quad's rows.
template <int Tokens>
__device__ __forceinline__ void write_outputs(const GemvOutputs& p, uint32_t quad, const float (&sums)[4][Tokens]) {
  constexpr uint32_t warps = kGemvThreads / 32;
  SHARED_VARIABLE(float[warps][4][Tokens], partial);
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
#pragma unroll
    for (int t = 0; t < Tokens; ++t) {
      const float sum = warp_sum(sums[r][t]);
      if (lane == 0) partial[warp][r][t] = sum;
    }
  }
  __syncthreads();

  // A warp finishes a row.
  static_assert(warps == 4, "a warp a row of the quad");
  const uint32_t row = quad * 4 + warp;
  if (row >= p.rows) return;
  const float row_scale = __half2float(__ushort_as_half(__ldg(p.row_scale + row)));
  for (uint32_t t = 0; t < p.tokens; ++t) {
    float sum = 0;
#pragma unroll
    for (uint32_t w = 0; w < warps; ++w) sum += partial[w][warp][t];
    float result = sum * row_scale * token_scale(p.x, t);
    if (p.up.rank > 0) result += low_rank_dot(p.up, row, t, lane);
    if (p.bias != nullptr) result += __ldg(p.bias + row);
    float* y = p.y + static_cast<size_t>(t) * p.y_stride + row;
    if (lane == 0) *y = p.accumulate != 0 ? *y + result : result;
  }
}

}  // namespace pyramidion::cuda
