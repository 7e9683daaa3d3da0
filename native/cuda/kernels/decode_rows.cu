// Decodes rows of a matrix to floats or halves: a thread decodes the same group of the four rows of a quad.
#include "cuda/kernels/point.cuh"

namespace pyramidion::cuda {

__device__ __forceinline__ void store_value(float* out, float value) { *out = value; }
__device__ __forceinline__ void store_value(__half* out, float value) { *out = __float2half_rn(value); }

template <int D, class Word, class Value>
__device__ __forceinline__ void decode_rows(const DecodeParameters& p) {
  const SegmentWeights& weights = p.weights;
  const uint32_t group = blockIdx.x * blockDim.x + threadIdx.x, quad = p.first_row / 4 + blockIdx.y;
  if (group >= weights.groups) return;
  const uint4* stream = reinterpret_cast<const uint4*>(weights.codes) + static_cast<size_t>(quad) * weights.quad_words;
  Word codes[4];
  QuadCodes<Word>::read(stream, group, weights.tables.bits, codes);
  const uint32_t columns = weights.columns - group * D < D ? weights.columns - group * D : D;
#pragma unroll
  for (uint32_t r = 0; r < 4; ++r) {
    const uint32_t row = quad * 4 + r;
    if (row >= p.first_row + p.row_count) break;
    int point[D];
    const uint32_t level = decode_point<D>(weights.tables, codes[r], point);
    const float scale =
        __half2float(__ushort_as_half(__ldg(weights.row_scale + row))) * group_gain<D>(weights.tables, level, point);
    Value* out = static_cast<Value*>(p.out) + static_cast<size_t>(row - p.first_row) * p.stride + group * D;
#pragma unroll
    for (uint32_t i = 0; i < D; ++i) {
      if (i < columns) store_value(out + i, scale * static_cast<float>(point[i]));
    }
  }
}

// Eight blocks a multiprocessor leave 64 registers: aiming at more, ptxas spills.
#define DECODE_ROWS(D, BITS, NAME, TYPE)                          \
  extern "C" __global__ void __launch_bounds__(kDecodeThreads, 8) \
      decode_rows_d##D##_w##BITS##_##NAME(DecodeParameters p) {   \
    decode_rows<D, uint##BITS##_t, TYPE>(p);                      \
  }

DECODE_ROWS(8, 32, f32, float)
DECODE_ROWS(8, 64, f32, float)
DECODE_ROWS(16, 32, f32, float)
DECODE_ROWS(16, 64, f32, float)
DECODE_ROWS(8, 32, f16, __half)
DECODE_ROWS(8, 64, f16, __half)
DECODE_ROWS(16, 32, f16, __half)
DECODE_ROWS(16, 64, f16, __half)

}  // namespace pyramidion::cuda
