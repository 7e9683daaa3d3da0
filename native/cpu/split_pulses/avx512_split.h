// 16 groups at once with AVX-512, one in each lane.
//
// Included by avx512.cc and avx512_vbmi.cc; everything has internal linkage, as in lanes.h of the search.
#pragma once

#include "cpu/pvq_decode/avx512_codes.h"
#include "cpu/pvq_decode/avx512_tree.h"
#include "cpu/split_pulses/dispatch.h"

namespace pyramidion {
namespace {

// What all blocks look up.
struct SplitLookup {
  explicit SplitLookup(const SplitRows& rows)
      : rows(rows),
        quads(*rows.quads),
        bits{_mm512_load_si512(rows.index_bits), _mm512_load_si512(rows.index_bits + 16)} {}

  // k of quad q, out of the compositions' words.
  static __m512i part(__m512i parts, unsigned q) {
    return _mm512_and_si512(_mm512_srli_epi32(parts, 8 * q), _mm512_set1_epi32(255));
  }

  // Quads q and q + 1, whose indices are the lowest bits of `indices`.
  void store_two(__m512i parts, unsigned q, __m512i indices, uint8_t* pulses) const {
    const __m512i left = part(parts, q), right = part(parts, q + 1), one = _mm512_set1_epi32(1);
    const __m512i left_bits = index_bits(left), right_bits = index_bits(right);
    const __m512i left_mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, left_bits), one);
    const __m512i right_mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, right_bits), one);
    const __m512i sign = _mm512_set1_epi8(-128);
    const __m512i first = quads.read(left, _mm512_and_si512(indices, left_mask));
    const __m512i second = quads.read(right, _mm512_and_si512(_mm512_srlv_epi32(indices, left_bits), right_mask));
    _mm512_store_si512(pulses + q * 64, _mm512_xor_si512(first, sign));
    _mm512_store_si512(pulses + q * 64 + 64, _mm512_xor_si512(second, sign));
  }

  __m512i index_bits(__m512i k) const { return _mm512_permutex2var_epi32(bits[0], k, bits[1]); }

  const SplitRows& rows;
  Quads quads;
  __m512i bits[2];
};

inline Wide shift_right(const Wide& wide, unsigned count) {
  return {_mm512_srli_epi64(wide.low, count), _mm512_srli_epi64(wide.high, count)};
}

template <int QuadCount>
void decode_groups(const SplitRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  const CodeReader reader(rows.bits);
  const SplitLookup lookup(rows);
  const auto level_shift = static_cast<unsigned>(rows.composition_bits);
  const auto level_bits = static_cast<unsigned>(rows.level_bits);
  const __m512i composition_mask = _mm512_set1_epi32((1 << level_shift) - 1);
  const __m512i level_mask = _mm512_set1_epi32((1 << level_bits) - 1);
  const __m512i all_pulses = _mm512_set1_epi32(static_cast<int>(rows.compositions.front()));
  const uint8_t* bytes = rows.at(row);
  for (size_t g = 0; g < rows.groups; g += lanes, bytes += 2 * rows.bits, pulses += QuadCount * 64) {
    const Wide groups = reader.read(bytes, rows.groups - g);
    const __m512i fields = narrow(groups);
    const __m512i number = _mm512_and_si512(fields, composition_mask);
    __m512i parts;
    if constexpr (QuadCount == 2) {
      // Composition n is (K - n, n).
      parts = _mm512_add_epi32(all_pulses, _mm512_mullo_epi32(number, _mm512_set1_epi32(255)));
    } else {
      parts = _mm512_i32gather_epi32(number, rows.compositions.data(), 4);
    }
    const __m512i level = _mm512_and_si512(_mm512_srli_epi32(fields, level_shift), level_mask);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(levels + g), _mm512_cvtepi32_epi16(level));
    const Wide indices = shift_right(groups, level_shift + level_bits);
    lookup.store_two(parts, 0, narrow(indices), pulses);
    if constexpr (QuadCount == 4) {
      const __m512i skipped = _mm512_add_epi32(lookup.index_bits(SplitLookup::part(parts, 0)),
                                               lookup.index_bits(SplitLookup::part(parts, 1)));
      const __m512i low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(skipped));
      const __m512i high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(skipped, 1));
      lookup.store_two(parts, 2, narrow({_mm512_srlv_epi64(indices.low, low), _mm512_srlv_epi64(indices.high, high)}),
                       pulses);
    }
  }
}

void decode(const SplitRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  return rows.quad_count == 2 ? decode_groups<2>(rows, row, pulses, levels)
                              : decode_groups<4>(rows, row, pulses, levels);
}

}  // namespace
}  // namespace pyramidion
