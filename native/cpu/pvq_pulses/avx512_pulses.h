// 16 groups at once with AVX-512, by the walks of pvq_decode.
//
// Included by avx512.cc and avx512_vbmi.cc; everything has internal linkage, as in lanes.h of the search.
#pragma once

#include <string.h>

#include "core/pvq/integer_tokens.h"
#include "cpu/pvq_decode/avx512_barnes_wall_points.h"
#include "cpu/pvq_decode/avx512_codes.h"
#include "cpu/pvq_decode/avx512_tree.h"
#include "cpu/pvq_pulses/avx512_eights.h"
#include "cpu/pvq_pulses/dispatch.h"

namespace pyramidion {
namespace {

// Stores a block's points as they come out of the walk.
struct PulseBlock {
  uint8_t* pulses;
  __m512i half;

  void quad(int first, __m512i packed) const {
    _mm512_store_si512(pulses + first * 16, _mm512_xor_si512(packed, _mm512_set1_epi8(-128)));
  }
  void pair(int first, __m512i left, __m512i right) {
    const __m512i byte = _mm512_set1_epi32(255);
    const __m512i two =
        _mm512_or_si512(_mm512_and_si512(left, byte), _mm512_slli_epi32(_mm512_and_si512(right, byte), 8));
    if (first % 4 == 0) {
      half = two;
    } else {
      quad(first - 2, _mm512_or_si512(half, _mm512_slli_epi32(two, 16)));
    }
  }
};

template <int D, bool Small>
void decode_integer(const PvqCode& code, const uint8_t* codes, uint8_t* pulses, uint16_t* levels) {
  const CodeReader reader(code.bits);
  const Lookup lookup(*code.tables);
  const __m512i all_pulses = _mm512_set1_epi32(code.pulses);
  const __m512i count = _mm512_set1_epi64(static_cast<long long>(code.count()));
  const __m512d reciprocal = _mm512_set1_pd((1 - 0x1p-50) / static_cast<double>(code.count()));
  for (size_t g = 0; g < code.groups; g += lanes) {
    const Wide values = reader.read(codes, code.groups - g);
    Wide index;
    const __m512i level = narrow(
        {divide(values.low, count, reciprocal, &index.low), divide(values.high, count, reciprocal, &index.high)});
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(levels + g), _mm512_cvtepi32_epi16(level));
    PulseBlock block{pulses, _mm512_setzero_si512()};
    walk<D, Small>(lookup, all_pulses, index, block);
    if (D == 2) block.quad(0, block.half);
    codes += 2 * code.bits;
    pulses += lanes * (D < 4 ? 4 : D);
  }
}

// Groups come sorted by their words, with their levels as floats: those of a code whose levels are their numbers.
void decode_barnes_wall(const PvqCode& code, const uint8_t* codes, uint8_t* pulses, uint16_t* levels) {
  struct Row {
    uint8_t* pulses;
    uint16_t* levels;

    void take(const BarnesWallGroups& groups) const {
      alignas(64) int32_t numbers[lanes];
      _mm512_store_si512(numbers, _mm512_cvttps_epi32(groups.levels));
      for (size_t i = 0; i < groups.count; ++i) {
        const size_t g = groups.places[i];
        levels[g] = static_cast<uint16_t>(numbers[i]);
        uint8_t* lane = pulses + (g / lanes * 4 * lanes + g % lanes) * 4;
        const __m128i x =
            _mm_xor_si128(_mm_load_si128(reinterpret_cast<const __m128i*>(groups.coordinates[i])), _mm_set1_epi8(-128));
        _mm_storeu_si32(lane, x);
        _mm_storeu_si32(lane + 64, _mm_bsrli_si128(x, 4));
        _mm_storeu_si32(lane + 128, _mm_bsrli_si128(x, 8));
        _mm_storeu_si32(lane + 192, _mm_bsrli_si128(x, 12));
      }
    }
  };
  Row row{pulses, levels};
  BarnesWallDecoder(*code.barnes_wall).visit(code, codes, row);
}

void decode(const PvqCode& code, const uint8_t* codes, uint8_t* pulses, uint16_t* levels) {
  if (code.lattice == Lattice::barnes_wall) return decode_barnes_wall(code, codes, pulses, levels);
  if (eights_fit(code)) {
    PulseBlock row{pulses, _mm512_setzero_si512()};
    return decode_eights(code, codes, row, levels);
  }
  const bool small = code.pulses <= QuadTable::max_pulses;
  switch (code.dimension) {
    case 2:
      return decode_integer<2, false>(code, codes, pulses, levels);
    case 4:
      return small ? decode_integer<4, true>(code, codes, pulses, levels)
                   : decode_integer<4, false>(code, codes, pulses, levels);
    case 8:
      return small ? decode_integer<8, true>(code, codes, pulses, levels)
                   : decode_integer<8, false>(code, codes, pulses, levels);
    case 16:
      return small ? decode_integer<16, true>(code, codes, pulses, levels)
                   : decode_integer<16, false>(code, codes, pulses, levels);
    default:
      return decode_integer<32, true>(code, codes, pulses, levels);
  }
}

bool supports(const PvqCode&) { return true; }

}  // namespace
}  // namespace pyramidion
