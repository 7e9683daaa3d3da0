// The fused product of stored codes with a few tokens: y = W x + B t + bias, W decoded in registers. A block takes a
// quad of rows, its warps alternate over tiles of 32 groups, a thread decodes the same group of the four rows, so that
// inputs are read once for four rows and codes by loads of 128 bits. Sums are reduced over the warps, then over the
// block, in a fixed order.
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/point.cuh"

namespace pyramidion::cuda {

constexpr uint32_t kWarps = kGemvThreads / 32;

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

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

// Adds B t to sums that are already in the outputs' scale, a warp's lanes sharing the rank.
__device__ __forceinline__ float low_rank_dot(const LowRankUp& up, uint32_t row, uint32_t token, uint32_t lane) {
  float sum = 0;
  for (uint32_t k = lane; k < up.rank; k += 32) {
    sum = fmaf(up_factor(up, row, k), __ldg(up.projected + static_cast<size_t>(token) * up.rank + k), sum);
  }
  return warp_sum(sum);
}

template <int D, class Word, class Value, int Tokens>
__device__ __forceinline__ void decode_gemv(const GemvParameters& p) {
  SHARED_VARIABLE(float[kWarps][4][Tokens], partial);
  const SegmentWeights& weights = p.weights;
  const uint32_t quad = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint4* stream = reinterpret_cast<const uint4*>(weights.codes) + static_cast<size_t>(quad) * weights.quad_words;

  float sums[4][Tokens] = {};
  for (uint32_t group = threadIdx.x; group < weights.groups; group += kGemvThreads) {
    Word codes[4];
    QuadCodes<Word>::read(stream, group, weights.tables.bits, codes);
    add_group<D, Word, Value, Tokens>(p, codes, group, sums);
  }
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
  static_assert(kWarps == 4, "a warp a row of the quad");
  const uint32_t row = quad * 4 + warp;
  if (row >= weights.rows) return;
  const float row_scale = __half2float(__ushort_as_half(__ldg(weights.row_scale + row)));
  for (uint32_t t = 0; t < p.tokens; ++t) {
    float sum = 0;
#pragma unroll
    for (uint32_t w = 0; w < kWarps; ++w) sum += partial[w][warp][t];
    float result = sum * row_scale * token_scale(p.x, t);
    if (p.up.rank > 0) result += low_rank_dot(p.up, row, t, lane);
    if (p.bias != nullptr) result += __ldg(p.bias + row);
    float* y = p.y + static_cast<size_t>(t) * p.y_stride + row;
    if (lane == 0) *y = p.accumulate != 0 ? *y + result : result;
  }
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
