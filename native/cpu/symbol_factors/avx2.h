// Blocks of 16 groups with AVX2, in two vectors: dot products, factors by symbols and squared norms, bits as masks.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "core/pvq/group_factors.h"
#include "core/pvq/integer_tokens.h"

namespace pyramidion {
namespace {

constexpr size_t parts = 2, part_groups = block_groups / parts;
// Of a part: four bytes, a sum and a float a group.
using Bytes = __m256i;
using Sums = __m256i;
using Floats = __m256;
// Of a block, a symbol a lane.
struct Symbols {
  __m256i of[parts];

  void store(uint8_t* to) const {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(of[0], of[1]), 0xd8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
  }
};

inline Bytes load(const void* bytes) { return _mm256_loadu_si256(static_cast<const __m256i*>(bytes)); }
inline void store(void* to, Bytes bytes) { _mm256_storeu_si256(static_cast<__m256i*>(to), bytes); }
// Signed ones, as PvqPulsesKernel has them.
inline void store_pulses(void* to, Bytes pulses) { store(to, _mm256_xor_si256(pulses, _mm256_set1_epi8(-128))); }
inline Floats load_floats(const float* from) { return _mm256_loadu_ps(from); }
inline void store_floats(float* to, Floats floats) { _mm256_storeu_ps(to, floats); }
inline Floats floats_of(Sums sums) { return _mm256_cvtepi32_ps(sums); }
inline Floats multiply_add(Floats a, Floats b, Floats sum) { return _mm256_fmadd_ps(a, b, sum); }

// Bit i of `bits` in all of lane i.
inline __m256i lanes_of_bits(uint32_t bits) {
  const __m256i own = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), own), own);
}

// Bit i of `bits` in all of byte i.
inline __m256i bytes_of_bits(uint32_t bits) {
  const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i own = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), byte);
  return _mm256_cmpeq_epi8(_mm256_and_si256(spread, own), own);
}

inline uint32_t bits_of_lanes(__m256i lanes) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(lanes)));
}

// -x where `negative`.
inline __m256i turned(__m256i x, __m256i negative) { return _mm256_sub_epi8(_mm256_xor_si256(x, negative), negative); }

// Pairs of 16 bits into 32.
inline __m256i widen(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

// <magnitudes, x> of a part. The magnitudes of a group add up to 64 at most: sums of 16 bits hold all products.
template <int Quads>
inline Sums dot(const Bytes (&magnitudes)[Quads], const Bytes (&x)[Quads]) {
  __m256i sums = _mm256_maddubs_epi16(magnitudes[0], x[0]);
  for (int q = 1; q < Quads; ++q) sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(magnitudes[q], x[q]));
  return widen(sums);
}

// level * (1 / ||p||): by permutations where all eight norms are among the 32 most usual, because gathers are dear,
// else out of the table of all.
class SymbolFactors {
 public:
  explicit SymbolFactors(const GroupFactors& factors)
      : table_(factors.values.data()),
        stride_(_mm256_set1_epi32(static_cast<int>(factors.stride))),
        first_(_mm256_set1_epi32(static_cast<int>(factors.first_norm))) {
    float levels[16] = {};
    std::memcpy(levels, factors.levels.data(), factors.levels.size() * sizeof(float));
    for (int i = 0; i < 2; ++i) levels_[i] = _mm256_loadu_ps(levels + 8 * i);
    for (int i = 0; i < 4; ++i) inverse_norms_[i] = _mm256_loadu_ps(factors.inverse_norms + 8 * i);
  }

  // squares: of lanes beyond the row less than that of a point; they get any factor.
  void read(const Symbols& symbols, const Sums (&squares)[parts], Floats (&factors)[parts]) const {
    for (size_t p = 0; p < parts; ++p) factors[p] = read(symbols.of[p], squares[p]);
  }

 private:
  __m256 read(__m256i symbols, __m256i square) const {
    const __m256i known = _mm256_max_epi32(square, first_);
    const __m256i usual = _mm256_srli_epi32(_mm256_sub_epi32(known, first_), 1);
    if (__builtin_expect(bits_of_lanes(_mm256_cmpgt_epi32(usual, _mm256_set1_epi32(31))) != 0, 0)) {
      return _mm256_i32gather_ps(table_, _mm256_add_epi32(_mm256_mullo_epi32(symbols, stride_), known), 4);
    }
    const __m256 low = pick(inverse_norms_[0], inverse_norms_[1], usual);
    const __m256 high = pick(inverse_norms_[2], inverse_norms_[3], usual);
    const __m256 norm = _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(usual, 27)));
    return _mm256_mul_ps(pick(levels_[0], levels_[1], symbols), norm);
  }

  // Of 16 numbers.
  static __m256 pick(__m256 low, __m256 high, __m256i place) {
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, place), _mm256_permutevar8x32_ps(high, place),
                            _mm256_castsi256_ps(_mm256_slli_epi32(place, 28)));
  }

  const float* table_;
  __m256i stride_, first_;
  __m256 levels_[2], inverse_norms_[4];
};

}  // namespace
}  // namespace pyramidion
