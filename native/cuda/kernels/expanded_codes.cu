// Products of expanded codes (cuda/expanded_codes.h): pulses as bytes, and level / ||p|| of each group. A thread takes
// the same sixteen columns of the four rows of a quad, so that inputs are read once for four rows. Nothing is decoded:
// what bounds it is the memory's bandwidth.
#include "cuda/kernels/gemv_outputs.cuh"

namespace pyramidion::cuda {

constexpr int kChunk = kExpandedChunk;

// A chunk of a row: pulses, and the gains of its groups.
template <int Gains>
struct Chunk {
  uint32_t pulses[4];
  float gains[Gains];

  __device__ __forceinline__ void read(const ExpandedCodes& codes, uint32_t row, uint32_t chunk) {
    const size_t place = static_cast<size_t>(row) * codes.chunks + chunk;
    const uint4 words = __ldg(reinterpret_cast<const uint4*>(codes.pulses) + place);
    pulses[0] = words.x, pulses[1] = words.y, pulses[2] = words.z, pulses[3] = words.w;
#pragma unroll
    for (int g = 0; g < Gains; ++g) gains[g] = __ldg(codes.gains + place * Gains + g);
  }

  // Of the columns of a word.
  __device__ __forceinline__ float gain(int word) const { return gains[word * Gains / 4]; }

  // Four weights up to the row scale. 2^23 + 128 + p has p + 128 as its last byte.
  __device__ __forceinline__ void weights(int word, float* out) const {
    const uint32_t biased = pulses[word] ^ 0x80808080u;
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      out[i] = gain(word) * (__uint_as_float(__byte_perm(biased, 0x4b000000u, 0x7440u + i)) - 8388736.0f);
    }
  }
};

// Adds the products of four rows' chunks with sixteen inputs of each token; columns: of the chunk, and behind it.
// Behind a row's last column there are inputs that are zero up to four, behind a segment's last none of its own, which
// may be no numbers.
template <int Gains, int Tokens>
__device__ __forceinline__ void add_chunks(const Chunk<Gains> (&rows)[4], const float* x, uint32_t columns,
                                           const GemvOutputs& p, float (&sums)[4][Tokens]) {
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    if (static_cast<uint32_t>(4 * word) >= columns) continue;
    float weights[4][4];
#pragma unroll
    for (int r = 0; r < 4; ++r) rows[r].weights(word, weights[r]);
#pragma unroll
    for (int t = 0; t < Tokens; ++t) {
      if (Tokens > 1 && static_cast<uint32_t>(t) >= p.tokens) break;
      const float4 values = __ldg(reinterpret_cast<const float4*>(x + static_cast<size_t>(t) * p.x.stride) + word);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        sums[r][t] = fmaf(weights[r][0], values.x, sums[r][t]);
        sums[r][t] = fmaf(weights[r][1], values.y, sums[r][t]);
        sums[r][t] = fmaf(weights[r][2], values.z, sums[r][t]);
        sums[r][t] = fmaf(weights[r][3], values.w, sums[r][t]);
      }
    }
  }
}

// Pulses behind the last column are zero, and inputs are numbers.
template <int Gains, int Tokens>
__device__ __forceinline__ void add_chunks(const Chunk<Gains> (&rows)[4], const int8_t* x, uint32_t,
                                           const GemvOutputs& p, float (&sums)[4][Tokens]) {
  constexpr int words = 4 / Gains;
#pragma unroll
  for (int t = 0; t < Tokens; ++t) {
    if (Tokens > 1 && static_cast<uint32_t>(t) >= p.tokens) break;
    // A segment's inputs need not begin on sixteen bytes.
    const uint2* halves = reinterpret_cast<const uint2*>(x + static_cast<size_t>(t) * p.x.stride);
    const uint2 low = __ldg(halves), high = __ldg(halves + 1);
    const uint32_t values[4] = {low.x, low.y, high.x, high.y};
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int g = 0; g < Gains; ++g) {
        int dot = 0;
#pragma unroll
        for (int word = g * words; word < (g + 1) * words; ++word) {
          dot = __dp4a(static_cast<int>(rows[r].pulses[word]), static_cast<int>(values[word]), dot);
        }
        sums[r][t] = fmaf(rows[r].gains[g], static_cast<float>(dot), sums[r][t]);
      }
    }
  }
}

template <int Gains, class Value, int Tokens>
__device__ __forceinline__ void expanded_gemv(const ExpandedGemvParameters& p) {
  const uint32_t quad = blockIdx.x, last_row = p.outputs.rows - 1;
  float sums[4][Tokens] = {};
  for (uint32_t chunk = threadIdx.x; chunk < p.codes.chunks; chunk += kGemvThreads) {
    Chunk<Gains> rows[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      // Rows beyond the last are computed, and not written.
      const uint32_t row = quad * 4 + r;
      rows[r].read(p.codes, row < last_row ? row : last_row, chunk);
    }
    add_chunks(rows, static_cast<const Value*>(p.outputs.x.values) + chunk * kChunk, p.codes.columns - chunk * kChunk,
               p.outputs, sums);
  }
  write_outputs(p.outputs, quad, sums);
}

// Rows as halves, for half_gemm.cu; a thread makes a chunk of a row.
template <int Gains>
__device__ __forceinline__ void expanded_rows(const ExpandedRowsParameters& p) {
  const uint32_t chunk = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (chunk >= p.codes.chunks) return;
  Chunk<Gains> codes;
  codes.read(p.codes, p.first_row + row, chunk);
  uint32_t halves[8];
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    float weights[4];
    codes.weights(word, weights);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const __half2 pair = __floats2half2_rn(weights[2 * i], weights[2 * i + 1]);
      memcpy(&halves[2 * word + i], &pair, sizeof(pair));
    }
  }
  uint4* out = static_cast<uint4*>(p.out) + (static_cast<size_t>(row) * p.stride + chunk * kChunk) / 8;
  out[0] = {halves[0], halves[1], halves[2], halves[3]};
  if (chunk * kChunk + 8 < p.stride) out[1] = {halves[4], halves[5], halves[6], halves[7]};
}

#define EXPANDED_GEMV(GAINS, NAME, TYPE, TOKENS)                              \
  extern "C" __global__ void __launch_bounds__(kGemvThreads)                  \
      expanded_gemv_g##GAINS##_##NAME##_t##TOKENS(ExpandedGemvParameters p) { \
    expanded_gemv<GAINS, TYPE, TOKENS>(p);                                    \
  }
#define EXPANDED(GAINS)                                                                                           \
  EXPANDED_GEMV(GAINS, f32, float, 1)                                                                             \
  EXPANDED_GEMV(GAINS, f32, float, 8)                                                                             \
  EXPANDED_GEMV(GAINS, i8, int8_t, 1)                                                                             \
  EXPANDED_GEMV(GAINS, i8, int8_t, 8)                                                                             \
  extern "C" __global__ void __launch_bounds__(kDecodeThreads) expanded_rows_g##GAINS(ExpandedRowsParameters p) { \
    expanded_rows<GAINS>(p);                                                                                      \
  }

EXPANDED(1)
EXPANDED(2)
EXPANDED(4)

}  // namespace pyramidion::cuda
