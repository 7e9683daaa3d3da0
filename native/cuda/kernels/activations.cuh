// Inputs of a layer as floats, whatever they are stored as, and the factor B of a low-rank correction.
#pragma once

#include "cuda/kernels/target.cuh"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// Eight consecutive values; from: on 8 values' alignment.
__device__ __forceinline__ void load_eight(const float* from, float* x) {
  const float4 a = __ldg(reinterpret_cast<const float4*>(from)), b = __ldg(reinterpret_cast<const float4*>(from) + 1);
  x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
  x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
}

__device__ __forceinline__ void load_eight(const __half* from, float* x) {
  const uint4 packed = __ldg(reinterpret_cast<const uint4*>(from));
  const uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    x[2 * i] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] & 0xffff)));
    x[2 * i + 1] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] >> 16)));
  }
}

__device__ __forceinline__ void load_eight(const int8_t* from, float* x) {
  const uint2 packed = __ldg(reinterpret_cast<const uint2*>(from));
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    x[i] = static_cast<float>(static_cast<int8_t>(packed.x >> 8 * i & 255));
    x[4 + i] = static_cast<float>(static_cast<int8_t>(packed.y >> 8 * i & 255));
  }
}

__device__ __forceinline__ float token_scale(const Activations& x, uint32_t token) {
  return x.token_scale == nullptr ? 1.0f : __ldg(x.token_scale + token);
}

// B(row, k).
__device__ __forceinline__ float up_factor(const LowRankUp& up, uint32_t row, uint32_t k) {
  const uint32_t blocks = (up.rank + 15) / 16;
  const float scale = __half2float(__ushort_as_half(__ldg(up.scales + static_cast<size_t>(row) * blocks + k / 16)));
  return scale * static_cast<float>(__ldg(up.values + static_cast<size_t>(row) * up.rank + k));
}

}  // namespace pyramidion::cuda
