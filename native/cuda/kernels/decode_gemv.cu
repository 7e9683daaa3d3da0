// The fused product of stored codes with a few tokens: y = W x + B t + bias, W decoded in registers. A block takes a
// quad of rows, its warps alternate over tiles of 32 groups, a thread decodes the same group of the four rows, so that
// inputs are read once for four rows and codes by loads of 128 bits. Sums are reduced over the warps, then over the
// block, in a fixed order.
#include "cuda/kernels/gemv_outputs.cuh"
#include "cuda/kernels/point.cuh"

namespace pyramidion::cuda {

// Adds a group's share in the outputs of four rows.
template <int D, class Word, class Value, int Tokens>
__device__ __forceinline__ void add_group(const GemvParameters& p, const Word* codes, uint32_t group,
                                          float (&sums)[4][Tokens]) {
  const CodeTables& tables = p.weights.tables;
  // Pulses are whole numbers below 2048, exact in halves.
  __half2 points[4][D / 2];
  float gains[4];
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    int point[D];
    const uint32_t level = decode_point<D>(tables, codes[r], point);
    gains[r] = group_gain<D>(tables, level, point);
#pragma unroll
    for (int i = 0; i < D / 2; ++i) {
      points[r][i] = __floats2half2_rn(static_cast<float>(point[2 * i]), static_cast<float>(point[2 * i + 1]));
    }
  }
  const Value* x = static_cast<const Value*>(p.x.values) + group * D;
#pragma unroll
  for (int t = 0; t < Tokens; ++t) {
    if (static_cast<uint32_t>(t) >= p.tokens) break;
    float dots[4] = {};
#pragma unroll
    for (int part = 0; part < D; part += 8) {
      float values[8];
      load_eight(x + static_cast<size_t>(t) * p.x.stride + part, values);
      // What lies beyond the last column is no input.
      if (group * D + part + 8 > p.weights.columns) {
#pragma unroll
        for (int i = 0; i < 8; ++i) values[i] = group * D + part + i < p.weights.columns ? values[i] : 0;
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          dots[r] = fmaf(__low2float(points[r][part / 2 + i]), values[2 * i], dots[r]);
          dots[r] = fmaf(__high2float(points[r][part / 2 + i]), values[2 * i + 1], dots[r]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) sums[r][t] = fmaf(gains[r], dots[r], sums[r][t]);
  }
}

template <int D, class Word, class Value, int Tokens>
__device__ __forceinline__ void decode_gemv(const GemvParameters& p) {
  const SegmentWeights& weights = p.weights;
  const uint32_t quad = blockIdx.x;
  const uint4* stream = reinterpret_cast<const uint4*>(weights.codes) + static_cast<size_t>(quad) * weights.quad_words;

  float sums[4][Tokens] = {};
  for (uint32_t group = threadIdx.x; group < weights.groups; group += kGemvThreads) {
    Word codes[4];
    QuadCodes<Word>::read(stream, group, weights.tables.bits, codes);
    add_group<D, Word, Value, Tokens>(p, codes, group, sums);
  }
  write_outputs({weights.row_scale, weights.rows, p.x, p.up, p.bias, p.y, p.tokens, p.y_stride, p.accumulate}, quad,
                sums);
}

#define DECODE_GEMV(D, BITS, NAME, TYPE, TOKENS)                          \
  extern "C" __global__ void __launch_bounds__(kGemvThreads)              \
      decode_gemv_d##D##_w##BITS##_##NAME##_t##TOKENS(GemvParameters p) { \
    decode_gemv<D, uint##BITS##_t, TYPE, TOKENS>(p);                      \
  }
#define DECODE_GEMV_TOKENS(D, BITS, NAME, TYPE) \
  DECODE_GEMV(D, BITS, NAME, TYPE, 1)           \
  DECODE_GEMV(D, BITS, NAME, TYPE, 8)
#define DECODE_GEMV_CODES(NAME, TYPE)    \
  DECODE_GEMV_TOKENS(8, 32, NAME, TYPE)  \
  DECODE_GEMV_TOKENS(8, 64, NAME, TYPE)  \
  DECODE_GEMV_TOKENS(16, 32, NAME, TYPE) \
  DECODE_GEMV_TOKENS(16, 64, NAME, TYPE)

DECODE_GEMV_CODES(f32, float)
DECODE_GEMV_CODES(i8, int8_t)

}  // namespace pyramidion::cuda
