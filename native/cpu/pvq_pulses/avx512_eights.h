// Groups of eight with at most 31 pulses and 16 levels whose codes are below 2^32 - 1: all of it in 32-bit lanes, and
// levels found by search instead of division.
#pragma once

#include "cpu/pvq_decode/avx512_tree.h"

namespace pyramidion {
namespace {

bool eights_fit(const PvqCode& code) {
  return code.lattice == Lattice::integer && code.dimension == 8 && code.pulses <= QuadTable::max_pulses &&
         code.levels.size() <= 16 && code.bits <= 32 && code.count() * code.levels.size() < 0xffffffffu;
}

// Reads 16 codes of the stream: two words of 16 bits from the one that a code starts in, and the next where it reaches
// into that.
class ShortCodeReader {
 public:
  explicit ShortCodeReader(int bits) : mask_(_mm512_set1_epi32(static_cast<int>(~0u >> (32 - bits)))) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i start = _mm512_mullo_epi32(lane, _mm512_set1_epi32(bits));
    const __m512i word = _mm512_srli_epi32(start, 4);
    places_ = _mm512_add_epi32(_mm512_or_si512(word, _mm512_slli_epi32(word, 16)), _mm512_set1_epi32(0x00010000));
    shift_ = _mm512_and_si512(start, _mm512_set1_epi32(15));
    // Codes start at multiples of what their bits share with a word.
    const int latest = 16 - (bits % 16 == 0 ? 16 : bits & -bits);
    spills_ = latest + bits > 32;
  }

  __m512i read(const uint8_t* bytes) const {
    const __m512i raw = _mm512_loadu_si512(bytes);
    __m512i code = _mm512_srlv_epi32(_mm512_permutexvar_epi16(places_, raw), shift_);
    if (spills_) {
      const __m512i next = _mm512_permutexvar_epi16(_mm512_add_epi32(places_, _mm512_set1_epi32(0x00020002)), raw);
      code = _mm512_or_si512(code, _mm512_sllv_epi32(next, _mm512_sub_epi32(_mm512_set1_epi32(32), shift_)));
    }
    return _mm512_and_si512(code, mask_);
  }

 private:
  __m512i mask_, places_, shift_;
  bool spills_;
};

template <class Sink>
inline void decode_eights(const PvqCode& code, const uint8_t* codes, Sink& sink, uint16_t* levels) {
  const ShortCodeReader reader(code.bits);
  const Lookup lookup(*code.tables);
  const uint32_t* offsets = code.tables->level(8).coarse.data();
  const __m512i all_pulses = _mm512_set1_epi32(code.pulses);
  // The first code of each level.
  alignas(64) uint32_t first[16];
  int first_step = 0;
  for (size_t l = 0; l < 16; ++l) {
    first[l] = l < code.levels.size() ? static_cast<uint32_t>(l * code.count()) : 0xffffffffu;
    if (l > 0 && (l & (l - 1)) == 0 && l < code.levels.size()) first_step = static_cast<int>(l);
  }
  const __m512i firsts = _mm512_load_si512(first);
  for (size_t g = 0; g < code.groups; g += 16, codes += 2 * code.bits, sink.pulses += 16 * 8) {
    // Those beyond the row are other bits, or of other rows: kept to what is a code.
    const auto real = static_cast<__mmask16>(code.groups - g >= 16 ? 0xffff : (1u << (code.groups - g)) - 1);
    const __m512i value = _mm512_maskz_mov_epi32(real, reader.read(codes));
    __m512i level = _mm512_setzero_si512();
    for (int step = first_step; step > 0; step /= 2) {
      const __m512i t = _mm512_or_si512(level, _mm512_set1_epi32(step));
      level = _mm512_mask_mov_epi32(level, _mm512_cmpge_epu32_mask(value, _mm512_permutexvar_epi32(t, firsts)), t);
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(levels + g), _mm512_cvtepi32_epi16(level));
    const __m512i index = _mm512_sub_epi32(value, _mm512_permutexvar_epi32(level, firsts));
    const Search search = search_row(offsets, code.pulses, index);
    divide_small_eight(lookup.quads, 0, all_pulses, search.j, _mm512_sub_epi32(index, search.offset), sink);
  }
}

}  // namespace
}  // namespace pyramidion
