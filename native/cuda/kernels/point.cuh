// Codes to points: the tree order of native/core/pvq/pyramid_counts.h walked by one thread, in integers. A node's
// pulses are found by binary search among its offsets, its index divided by a product with a reciprocal and one
// correction. Nodes of dimension 8 and 16 look offsets up, those of four and two coordinates have closed forms: N(2,k)
// = 4 k, N(4,k) = 8 k (k^2 + 2) / 3.
#pragma once

#include "cuda/kernels/target.cuh"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// Exact: the true quotient is below 2^32, so is the product with the inverse of 3 modulo 2^32.
__device__ __forceinline__ uint32_t third(uint32_t multiple_of_three) { return multiple_of_three * 0xaaaaaaabu; }

__device__ __forceinline__ uint32_t count2(uint32_t k) { return k == 0 ? 1 : 4 * k; }
__device__ __forceinline__ uint32_t count4(uint32_t k) { return k == 0 ? 1 : third(8 * k * (k * k + 2)); }

// quotient = value / divisor, value becomes the remainder; reciprocal: CodeTables.
__device__ __forceinline__ uint32_t divide(uint32_t& value, uint32_t divisor, uint32_t reciprocal) {
  uint32_t quotient = __umulhi(value, reciprocal);
  value -= quotient * divisor;
  if (value >= divisor) {
    value -= divisor;
    ++quotient;
  }
  return quotient;
}

__device__ __forceinline__ uint64_t divide(uint64_t& value, uint64_t divisor, uint64_t reciprocal) {
  uint64_t quotient = __umul64hi(value, reciprocal);
  value -= quotient * divisor;
  if (value >= divisor) {
    value -= divisor;
    ++quotient;
  }
  return quotient;
}

// 32 bits of a 64-bit reciprocal are one of 32 bits: floor((2^64 - 1) / n / 2^32) = floor((2^32 - 1) / n) for n < 2^32.
__device__ __forceinline__ uint32_t divide(uint32_t& value, uint32_t divisor, uint64_t reciprocal) {
  return divide(value, divisor, static_cast<uint32_t>(reciprocal >> 32));
}

__device__ __forceinline__ void pair_point(uint32_t k, uint32_t index, int* point) {
  // Indices from 2 on are those of left = 1, 2, ... four at a time; the last four bits' places are signs.
  const uint32_t shifted = index + 2, left = shifted >> 2, right = k - left;
  const bool left_negative = (right == 0 ? shifted & 1 : shifted & 2) != 0;
  point[0] = left_negative ? -static_cast<int>(left) : static_cast<int>(left);
  point[1] = (shifted & 1) != 0 ? -static_cast<int>(right) : static_cast<int>(right);
}

__device__ __forceinline__ void quad_point(const CodeTables& tables, uint32_t k, uint32_t index, int* point) {
  // offset(4,k,j) = 4 k + 8 j (j - 1) (3 k - 2 j + 1) / 3 for j > 0.
  uint32_t left = 0, offset = 0;
  for (uint32_t step = static_cast<uint32_t>(tables.first_step); step > 0; step >>= 1) {
    const uint32_t j = left + step;
    const uint32_t reached = 4 * k + third(8 * j * (j - 1) * (3 * k + 1 - 2 * j));
    if (j <= k && index >= reached) {
      left = j;
      offset = reached;
    }
  }
  const uint32_t right = k - left;
  index -= offset;
  const uint32_t left_index = divide(index, count2(right), __ldg(tables.reciprocals2 + right));
  pair_point(left, left_index, point);
  pair_point(right, index, point + 2);
}

// The pulses of the left half: the largest j <= k with row[j] <= index, from which the index is then counted.
template <class Word>
__device__ __forceinline__ uint32_t left_pulses(const uint64_t* row, int first_step, uint32_t k, Word& index) {
  uint32_t left = 0;
  Word offset = 0;
  for (uint32_t step = static_cast<uint32_t>(first_step); step > 0; step >>= 1) {
    const uint32_t j = left + step;
    if (j > k) continue;
    const Word reached = static_cast<Word>(__ldg(row + j));
    if (index >= reached) {
      left = j;
      offset = reached;
    }
  }
  index -= offset;
  return left;
}

// row: the node's offsets.
template <class Word>
__device__ __forceinline__ void eight_point(const CodeTables& tables, const uint64_t* row, uint32_t k, Word index,
                                            int* point) {
  const uint32_t left = left_pulses(row, tables.first_step, k, index), right = k - left;
  const Word left_index = divide(index, static_cast<Word>(count4(right)), __ldg(tables.reciprocals4 + right));
  quad_point(tables, left, static_cast<uint32_t>(left_index), point);
  quad_point(tables, right, static_cast<uint32_t>(index), point + 4);
}

// The point of a code; returns its gain level. Word: 32 or 64 bits, enough for any code of the tables.
template <int D, class Word>
__device__ __forceinline__ uint32_t decode_point(const CodeTables& tables, Word code, int* point) {
  const uint32_t level = static_cast<uint32_t>(divide(code, static_cast<Word>(tables.count), tables.count_reciprocal));
  const uint32_t k = static_cast<uint32_t>(tables.pulses);
  if constexpr (D == 8) {
    eight_point(tables, tables.offsets8, k, code, point);
  } else {
    const uint32_t left = left_pulses(tables.offsets16, tables.first_step, k, code), right = k - left;
    const Word left_index =
        divide(code, static_cast<Word>(__ldg(tables.counts8 + right)), __ldg(tables.reciprocals8 + right));
    eight_point(tables, tables.offsets8 + left * (left + 1) / 2, left, left_index, point);
    eight_point(tables, tables.offsets8 + right * (right + 1) / 2, right, code, point + 8);
  }
  return level;
}

// The codes of group `group` of a quad of rows.
template <class Word>
struct QuadCodes;

template <>
struct QuadCodes<uint32_t> {
  // stream: the quad's words, four at a time.
  __device__ __forceinline__ static void read(const uint4* stream, uint32_t group, int bits, uint32_t* codes) {
    const uint64_t bit = static_cast<uint64_t>(group) * static_cast<uint32_t>(bits);
    const uint4* words = stream + (bit >> 5);
    const uint32_t shift = static_cast<uint32_t>(bit) & 31, mask = 0xffffffffu >> (32 - bits);
    const uint4 low = __ldg(words), high = __ldg(words + 1);
    codes[0] = __funnelshift_r(low.x, high.x, shift) & mask;
    codes[1] = __funnelshift_r(low.y, high.y, shift) & mask;
    codes[2] = __funnelshift_r(low.z, high.z, shift) & mask;
    codes[3] = __funnelshift_r(low.w, high.w, shift) & mask;
  }
};

template <>
struct QuadCodes<uint64_t> {
  __device__ __forceinline__ static void read(const uint4* stream, uint32_t group, int bits, uint64_t* codes) {
    const uint64_t bit = static_cast<uint64_t>(group) * static_cast<uint32_t>(bits);
    const uint4* words = stream + (bit >> 5);
    const uint32_t shift = static_cast<uint32_t>(bit) & 31, mask = 0xffffffffu >> (64 - bits);
    const uint4 low = __ldg(words), middle = __ldg(words + 1), high = __ldg(words + 2);
    const auto join = [&](uint32_t first, uint32_t second, uint32_t third_word) {
      const uint32_t upper = __funnelshift_r(second, third_word, shift) & mask;
      return static_cast<uint64_t>(upper) << 32 | __funnelshift_r(first, second, shift);
    };
    codes[0] = join(low.x, middle.x, high.x);
    codes[1] = join(low.y, middle.y, high.y);
    codes[2] = join(low.z, middle.z, high.z);
    codes[3] = join(low.w, middle.w, high.w);
  }
};

// level / ||p||: what a group's pulses are multiplied by, up to the row scale. A level's index beyond the last, which
// only broken codes have, counts as the last.
template <int D>
__device__ __forceinline__ float group_gain(const CodeTables& tables, uint32_t level, const int* point) {
  int square = 0;
#pragma unroll
  for (int i = 0; i < D; ++i) square += point[i] * point[i];
  const uint32_t last = static_cast<uint32_t>(tables.level_count) - 1;
  return __ldg(tables.levels + (level < last ? level : last)) * rsqrtf(static_cast<float>(square));
}

}  // namespace pyramidion::cuda
