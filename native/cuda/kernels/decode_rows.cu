// Decodes rows of a matrix to halves for half_gemm.cu: level / ||p|| times the pulses, the row scale left out, so that
// no weight is too small for a half. A thread decodes the same group of the four rows of a quad.
#include "cuda/kernels/point.cuh"

namespace pyramidion::cuda {

template <int D, class Word>
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
    const float gain = group_gain<D>(weights.tables, level, point);
    uint4* out = static_cast<uint4*>(p.out) + (static_cast<size_t>(row - p.first_row) * p.stride + group * D) / 8;
#pragma unroll
    for (uint32_t first = 0; first < D; first += 8) {
      if (first >= columns) break;
      uint32_t pairs[4];
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i) {
        const uint32_t at = first + 2 * i;
        const __half2 pair = __floats2half2_rn(at < columns ? gain * static_cast<float>(point[at]) : 0,
                                               at + 1 < columns ? gain * static_cast<float>(point[at + 1]) : 0);
        memcpy(&pairs[i], &pair, sizeof(pair));
      }
      out[first / 8] = {pairs[0], pairs[1], pairs[2], pairs[3]};
    }
  }
}

// Eight blocks a multiprocessor leave 64 registers: aiming at more, ptxas spills.
#define DECODE_ROWS(D, BITS)                                                                                       \
  extern "C" __global__ void __launch_bounds__(kDecodeThreads, 8) decode_rows_d##D##_w##BITS(DecodeParameters p) { \
    decode_rows<D, uint##BITS##_t>(p);                                                                             \
  }

DECODE_ROWS(8, 32)
DECODE_ROWS(8, 64)
DECODE_ROWS(16, 32)
DECODE_ROWS(16, 64)

}  // namespace pyramidion::cuda
