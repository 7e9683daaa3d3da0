// The product with one to eight tokens of int8 inputs for weights in *pair codes* (cuda/pair_codes.h), the fast form of
// codes with D = 8 and few pulses. A group's four pairs of coordinates have k pulses each, which a small table knows;
// with n = 4 k points in a pair, what is left of the code is a binary fraction that tells the points: the whole part of
// its product with n is the first pair's number t, the rest is the fraction of the next. So there is neither a search
// nor a division, and the points of a pair lie on a circle of the 1-norm:  u = t - 2 k,  a = |u| - k,  |b| = k - |a|,
// b has the sign of u;  two pairs at once in half2.
#include "cuda/kernels/gemv_outputs.cuh"

namespace pyramidion::cuda {

__device__ __forceinline__ __half2 as_half2(uint32_t bits) {
  __half2 value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

__device__ __forceinline__ uint32_t as_bits(__half2 value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// The number of the next pair's point; the fraction goes on to the pair behind it. One multiplication: the compiler
// would take two.
__device__ __forceinline__ uint32_t next_point(uint32_t& fraction, uint32_t points) {
  uint32_t number;
#if defined(__CUDACC__)
  asm("{ .reg .b64 product; mul.wide.u32 product, %1, %2; mov.b64 {%1, %0}, product; }"
      : "=r"(number), "+r"(fraction)
      : "r"(points));
#else
  const uint64_t product = static_cast<uint64_t>(fraction) * points;
  fraction = static_cast<uint32_t>(product);
  number = static_cast<uint32_t>(product >> 32);
#endif
  return number;
}

// The argument is a whole number: without the care for those below the normal ones that rsqrtf takes.
__device__ __forceinline__ float inverse_root(float square) {
#if defined(__CUDACC__)
  float root;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(square));
  return root;
#else
  return rsqrtf(square);
#endif
}

// Coordinates (a0, a1, b0, b1) of two pairs as packed int8, given the numbers of their points. points: bytes of n, of
// which `bytes` selects those of the pairs.
//
// Whole numbers as they stand are subnormal halves, 2^-24 each; times 2^15 they are multiples of 2^-9, exact in all
// that follows. Where k = 0, n = 1 puts a at 1/4, which is lost at the end.
__device__ __forceinline__ uint32_t two_pairs(uint32_t first, uint32_t second, uint32_t points, uint32_t bytes) {
  const __half2 numbers = as_half2(__byte_perm(first, second, 0x5410));
  const __half2 n = as_half2(__byte_perm(points, 0, bytes));
  const __half2 twice_k = __hmul2(n, as_half2(0x74007400u)), k = __hmul2(n, as_half2(0x70007000u));
  const __half2 u = __hfma2(numbers, as_half2(0x78007800u), __hneg2(twice_k));
  const __half2 a = __hsub2(__habs2(u), k);
  const __half2 b = as_half2(as_bits(__hsub2(k, __habs2(a))) | (as_bits(u) & 0x80008000u));
  // 2^9 a + 1536: there the last place is one, and the low byte the number.
  const __half2 to_whole = as_half2(0x60006000u), at_1536 = as_half2(0x66006600u);
  return __byte_perm(as_bits(__hfma2(a, to_whole, at_1536)), as_bits(__hfma2(b, to_whole, at_1536)), 0x6420);
}

template <class Word>
__device__ __forceinline__ Word word_at(const Word* words, uint32_t byte_offset) {
  return *reinterpret_cast<const Word*>(reinterpret_cast<const char*>(words) + byte_offset);
}

struct PairPoint {
  // Packed int8.
  uint32_t low, high;
  float gain;
};

__device__ __forceinline__ PairPoint pair_point(const PairCodes& codes, const uint32_t* table, uint32_t code) {
  // Bytes of n = 4 k, 1 where k = 0.
  const uint32_t points = word_at(table, code >> codes.composition_shift & codes.composition_mask);
  uint32_t fraction = code << (32 - codes.fraction_bits);
  const uint32_t t0 = next_point(fraction, points & 255), t1 = next_point(fraction, __byte_perm(points, 0, 0x4441));
  const uint32_t t2 = next_point(fraction, __byte_perm(points, 0, 0x4442)), t3 = next_point(fraction, points >> 24);
  const float* levels = reinterpret_cast<const float*>(table + codes.first_level);
  PairPoint point;
  point.low = two_pairs(t0, t1, points, 0x4140);
  point.high = two_pairs(t2, t3, points, 0x4342);
  const int low = static_cast<int>(point.low), high = static_cast<int>(point.high);
  const float square = static_cast<float>(__dp4a(high, high, __dp4a(low, low, 0)));
  point.gain = word_at(levels, code >> codes.level_shift & codes.level_mask) * inverse_root(square);
  return point;
}

template <int Tokens>
__device__ __forceinline__ void pair_gemv(const PairGemvParameters& p) {
  SHARED_DYNAMIC(uint4, quads_of_table);
  const PairCodes& codes = p.codes;
  for (uint32_t i = threadIdx.x; i < codes.table_words / 4; i += kGemvThreads) {
    quads_of_table[i] = __ldg(reinterpret_cast<const uint4*>(codes.table) + i);
  }
  __syncthreads();
  const uint32_t* table = reinterpret_cast<const uint32_t*>(quads_of_table);

  const uint32_t quad = blockIdx.x;
  const uint4* stream = reinterpret_cast<const uint4*>(codes.words) + static_cast<size_t>(quad) * codes.quad_words;
  // 32 groups are a whole number of words: a thread's shift never changes.
  const uint32_t first_bit = threadIdx.x % 32 * codes.bits, shift = first_bit % 32;
  stream += threadIdx.x / 32 * codes.bits + first_bit / 32;
  float sums[4][Tokens] = {};
  for (uint32_t group = threadIdx.x; group < codes.groups;
       group += kGemvThreads, stream += kGemvThreads / 32 * codes.bits) {
    const uint4 first = __ldg(stream), second = __ldg(stream + 1);
    const uint32_t words[4] = {__funnelshift_r(first.x, second.x, shift), __funnelshift_r(first.y, second.y, shift),
                               __funnelshift_r(first.z, second.z, shift), __funnelshift_r(first.w, second.w, shift)};
    PairPoint points[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) points[r] = pair_point(codes, table, words[r]);
    const int8_t* x = static_cast<const int8_t*>(p.outputs.x.values) + group * 8;
#pragma unroll
    for (int t = 0; t < Tokens; ++t) {
      if (Tokens > 1 && static_cast<uint32_t>(t) >= p.outputs.tokens) break;
      const uint2 values = __ldg(reinterpret_cast<const uint2*>(x + static_cast<size_t>(t) * p.outputs.x.stride));
      const int low = static_cast<int>(values.x), high = static_cast<int>(values.y);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const int dot = __dp4a(static_cast<int>(points[r].high), high, __dp4a(static_cast<int>(points[r].low), low, 0));
        sums[r][t] = fmaf(points[r].gain, static_cast<float>(dot), sums[r][t]);
      }
    }
  }
  write_outputs(p.outputs, quad, sums);
}

extern "C" __global__ void __launch_bounds__(kGemvThreads) pair_gemv_i8_t1(PairGemvParameters p) { pair_gemv<1>(p); }
extern "C" __global__ void __launch_bounds__(kGemvThreads) pair_gemv_i8_t8(PairGemvParameters p) { pair_gemv<8>(p); }

}  // namespace pyramidion::cuda
