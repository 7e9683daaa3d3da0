// The fused product of stored codes with many tokens: y = W x + B t + bias. A block decodes 64 rows, eight groups at a
// time, to halves in shared memory and multiplies them with 64 tokens on the tensor cores, so that a weight is decoded
// once for 64 tokens. Pulses are multiplied by level / ||p|| before they become halves; the row scale, the tokens'
// scales and the low-rank term come in single precision at the end. What a half loses of a weight, 2^-11 of it, is what
// the result loses.
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/point.cuh"
#include "cuda/kernels/tensor_core.cuh"

namespace pyramidion::cuda {

// Groups of a step; a row of a tile is eight halves longer than the step, so that eight rows begin in different banks.
constexpr int kGroups = 8;
constexpr int kPad = 8;
// Ranks of the low-rank term taken at a time.
constexpr int kRanks = 16;

// Decodes the same group of the four rows of a quad into the tile: a thread's share of a step.
template <int D, class Word>
__device__ __forceinline__ void decode_quad(const SegmentWeights& weights, uint32_t quad, uint32_t group,
                                            __half (*tile)[kGroups * D + kPad]) {
  const uint32_t local_row = threadIdx.x / kGroups * 4, local_group = threadIdx.x % kGroups;
  const bool live = quad < (weights.rows + 3) / 4 && group < weights.groups;
  Word codes[4];
  if (live) {
    const uint4* stream =
        reinterpret_cast<const uint4*>(weights.codes) + static_cast<size_t>(quad) * weights.quad_words;
    QuadCodes<Word>::read(stream, group, weights.tables.bits, codes);
  }
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    __half2* out = reinterpret_cast<__half2*>(&tile[local_row + r][local_group * D]);
    int point[D] = {};
    float gain = 0;
    if (live) {
      const uint32_t level = decode_point<D>(weights.tables, codes[r], point);
      gain = group_gain<D>(weights.tables, level, point);
    }
#pragma unroll
    for (int i = 0; i < D / 2; ++i) {
      out[i] = __floats2half2_rn(gain * static_cast<float>(point[2 * i]), gain * static_cast<float>(point[2 * i + 1]));
    }
  }
}

// Eight inputs as they are stored, to halves.
__device__ __forceinline__ uint4 eight_halves(const __half* from) {
  return __ldg(reinterpret_cast<const uint4*>(from));
}
__device__ __forceinline__ uint4 eight_halves(const int8_t* from) {
  float values[8];
  load_eight(from, values);
  uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t low = __half_as_ushort(__float2half_rn(values[2 * i]));
    words[i] = low | static_cast<uint32_t>(__half_as_ushort(__float2half_rn(values[2 * i + 1]))) << 16;
  }
  return {words[0], words[1], words[2], words[3]};
}

// The inputs of a step; zeros beyond the last column and the last token.
template <int D, class Value>
__device__ __forceinline__ void load_tokens(const GemmParameters& p, uint32_t first_token, uint32_t first_group,
                                            __half (*tile)[kGroups * D + kPad]) {
  constexpr uint32_t chunks = kGroups * D / 8;
  for (uint32_t i = threadIdx.x; i < kGemmTokens * chunks; i += kGemmThreads) {
    const uint32_t token = i / chunks, local_column = i % chunks * 8, column = first_group * D + local_column;
    uint4 values = {0, 0, 0, 0};
    if (first_token + token < p.tokens && column < p.weights.columns) {
      values = eight_halves(static_cast<const Value*>(p.x.values) +
                            static_cast<size_t>(first_token + token) * p.x.stride + column);
    }
    __half* out = &tile[token][local_column];
    *reinterpret_cast<uint4*>(out) = values;
#pragma unroll
    for (uint32_t k = 0; k < 8; ++k) {
      if (column + k >= p.weights.columns) out[k] = __ushort_as_half(0);
    }
  }
}

// sums[n][.] += the warp's 16 rows times tokens 8 n .. 8 n + 7, over a step.
template <int D>
__device__ __forceinline__ void multiply_step(const __half (*rows)[kGroups * D + kPad],
                                              const __half (*tokens)[kGroups * D + kPad],
                                              float (&sums)[kGemmTokens / 8][4]) {
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int k = 0; k < kGroups * D; k += 16) {
    uint32_t a[4];
    load_matrices(a, &rows[warp * 16 + lane % 16][k + lane / 16 * 8]);
#pragma unroll
    for (int n = 0; n < static_cast<int>(kGemmTokens) / 8; n += 2) {
      uint32_t b[4];
      load_matrices(b, &tokens[n * 8 + lane % 8 + lane / 16 * 8][k + lane / 8 % 2 * 8]);
      multiply_accumulate(sums[n], a, {b[0], b[1]});
      multiply_accumulate(sums[n + 1], a, {b[2], b[3]});
    }
  }
}

// Of the sums' four elements: which row of the warp's 16, and which token of eight.
__device__ __forceinline__ uint32_t row_of(int element) { return threadIdx.x % 32 / 4 + (element >= 2 ? 8 : 0); }
__device__ __forceinline__ uint32_t token_of(int element) { return threadIdx.x % 4 * 2 + element % 2; }

// Adds B t, a few ranks at a time.
__device__ __forceinline__ void add_low_rank(const GemmParameters& p, uint32_t first_row, uint32_t first_token,
                                             float (&sums)[kGemmTokens / 8][4]) {
  SHARED_VARIABLE(float[kRanks][kGemmRows + 1], factor);
  SHARED_VARIABLE(float[kRanks][kGemmTokens + 1], projected);
  const uint32_t warp = threadIdx.x / 32;
  for (uint32_t first = 0; first < p.up.rank; first += kRanks) {
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < kRanks * kGemmRows; i += kGemmThreads) {
      const uint32_t k = i % kRanks, row = i / kRanks;
      const bool live = first + k < p.up.rank && first_row + row < p.weights.rows;
      factor[k][row] = live ? up_factor(p.up, first_row + row, first + k) : 0;
    }
    for (uint32_t i = threadIdx.x; i < kRanks * kGemmTokens; i += kGemmThreads) {
      const uint32_t k = i % kRanks, token = i / kRanks;
      const bool live = first + k < p.up.rank && first_token + token < p.tokens;
      projected[k][token] =
          live ? __ldg(p.up.projected + static_cast<size_t>(first_token + token) * p.up.rank + first + k) : 0;
    }
    __syncthreads();
    for (int k = 0; k < kRanks; ++k) {
      const float low = factor[k][warp * 16 + row_of(0)], high = factor[k][warp * 16 + row_of(2)];
#pragma unroll
      for (int n = 0; n < static_cast<int>(kGemmTokens) / 8; ++n) {
#pragma unroll
        for (int element = 0; element < 4; ++element) {
          const float t = projected[k][n * 8 + token_of(element)];
          sums[n][element] = fmaf(element < 2 ? low : high, t, sums[n][element]);
        }
      }
    }
  }
}

template <int D, class Word, class Value>
__device__ __forceinline__ void decode_gemm(const GemmParameters& p) {
  SHARED_VARIABLE(__half[kGemmRows][kGroups * D + kPad], rows);
  SHARED_VARIABLE(__half[kGemmTokens][kGroups * D + kPad], tokens);
  const uint32_t first_row = blockIdx.x * kGemmRows, first_token = blockIdx.y * kGemmTokens, warp = threadIdx.x / 32;
  const uint32_t quad = first_row / 4 + threadIdx.x / kGroups;

  float sums[kGemmTokens / 8][4] = {};
  for (uint32_t group = 0; group < p.weights.groups; group += kGroups) {
    decode_quad<D, Word>(p.weights, quad, group + threadIdx.x % kGroups, rows);
    load_tokens<D, Value>(p, first_token, group, tokens);
    __syncthreads();
    multiply_step<D>(rows, tokens, sums);
    __syncthreads();
  }

#pragma unroll
  for (int n = 0; n < static_cast<int>(kGemmTokens) / 8; ++n) {
#pragma unroll
    for (int element = 0; element < 4; ++element) {
      const uint32_t row = first_row + warp * 16 + row_of(element), token = first_token + n * 8 + token_of(element);
      if (row >= p.weights.rows || token >= p.tokens) continue;
      sums[n][element] *= __half2float(__ushort_as_half(__ldg(p.weights.row_scale + row))) * token_scale(p.x, token);
    }
  }
  add_low_rank(p, first_row, first_token, sums);
#pragma unroll
  for (int n = 0; n < static_cast<int>(kGemmTokens) / 8; ++n) {
#pragma unroll
    for (int element = 0; element < 4; ++element) {
      const uint32_t row = first_row + warp * 16 + row_of(element), token = first_token + n * 8 + token_of(element);
      if (row >= p.weights.rows || token >= p.tokens) continue;
      float result = sums[n][element];
      if (p.bias != nullptr) result += __ldg(p.bias + row);
      float* y = p.y + static_cast<size_t>(token) * p.y_stride + row;
      *y = p.accumulate != 0 ? *y + result : result;
    }
  }
}

#define DECODE_GEMM(D, BITS, NAME, TYPE)                                                                             \
  extern "C" __global__ void __launch_bounds__(kGemmThreads) decode_gemm_d##D##_w##BITS##_##NAME(GemmParameters p) { \
    decode_gemm<D, uint##BITS##_t, TYPE>(p);                                                                         \
  }
DECODE_GEMM(8, 32, f16, __half)
DECODE_GEMM(8, 64, f16, __half)
DECODE_GEMM(16, 32, f16, __half)
DECODE_GEMM(16, 64, f16, __half)
DECODE_GEMM(8, 32, i8, int8_t)
DECODE_GEMM(8, 64, i8, int8_t)
DECODE_GEMM(16, 32, i8, int8_t)
DECODE_GEMM(16, 64, i8, int8_t)

}  // namespace pyramidion::cuda
