// Reads the blocks of residue rows with AVX2 and BMI2, lanes 0 to 7 and 8 to 15 each in a vector. What a stream holds
// for some lanes or bytes only is spread over them by pdep, which takes a hundred cycles on Zen 1 and 2.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/pvq/residue_rows.h"
#include "cpu/residue_product/bit_window.h"
#include "cpu/symbol_factors/avx2.h"

namespace pyramidion {
namespace {

// Half a block: magnitudes, all bits of bytes that are negative, and the symbols of levels.
template <int Quads>
struct HalfResidues {
  __m256i magnitudes[Quads], negative[Quads], symbols;
};

template <int Quads>
class ResidueCursor {
 public:
  ResidueCursor(const ResidueRows& rows, size_t row)
      : rows_(rows), fields_(rows.row_fields(row)), open_(rows.row_open(row)), signs_(rows.row_signs(row)) {}

  // The next block, of which the first `lanes` lanes are groups.
  void next(size_t lanes, HalfResidues<Quads> (&halves)[2]) {
    __m256i rest[2];
    for (size_t h = 0; h < 2; ++h) rest[h] = read_fields(h, lanes, halves[h]);
    read_extra(halves);
    for (int fours = 3;; fours += 4) {
      const __m256i bound = _mm256_set1_epi32(fours);
      const __m256i lacking[2] = {_mm256_cmpgt_epi32(rest[0], bound), _mm256_cmpgt_epi32(rest[1], bound)};
      const uint32_t mask = bits_of_lanes(lacking[0]) | bits_of_lanes(lacking[1]) << half_groups;
      if (mask == 0) break;
      move_fours(lacking, mask, halves);
    }
    read_signs(halves);
    fields_ += rows_.block_bytes;
    _mm_prefetch(reinterpret_cast<const char*>(fields_ + 1024), _MM_HINT_T0);
  }

 private:
  // Returns K less the residues.
  __m256i read_fields(size_t h, size_t lanes, HalfResidues<Quads>& half) const {
    const __m256i three = _mm256_set1_epi8(3);
    const __m256i fields = Quads == 4 ? load(fields_ + 32 * h)
                                      : _mm256_srl_epi32(load(fields_), _mm_cvtsi32_si128(4 * static_cast<int>(h)));
    __m256i sum = _mm256_setzero_si256();
    for (int q = 0; q < Quads; ++q) {
      half.magnitudes[q] = _mm256_and_si256(_mm256_srli_epi32(fields, 2 * q), three);
      sum = _mm256_add_epi8(sum, half.magnitudes[q]);
    }
    __m256i& last = half.magnitudes[Quads - 1];
    half.symbols = _mm256_srli_epi32(last, 24);
    const auto own = static_cast<uint32_t>((uint64_t{1} << lanes) - 1) >> half_groups * h;
    const __m256i pulses = _mm256_and_si256(lanes_of_bits(own), _mm256_set1_epi32(rows_.pulses));
    const __m256i others = _mm256_sub_epi32(widen(_mm256_maddubs_epi16(sum, _mm256_set1_epi8(1))), half.symbols);
    const __m256i rest = _mm256_sub_epi32(pulses, others);
    last = _mm256_or_si256(_mm256_and_si256(last, _mm256_set1_epi32(0x00ffffff)), _mm256_slli_epi32(rest, 24));
    return rest;
  }

  void read_extra(HalfResidues<Quads> (&halves)[2]) {
    const bool all = rows_.signs == ResidueRows::Signs::all;
    if (rows_.extra_bits == 0) return;
    const __m256i zero = _mm256_setzero_si256();
    const uint32_t some = bits_of_lanes(_mm256_cmpgt_epi32(halves[0].symbols, zero)) |
                          bits_of_lanes(_mm256_cmpgt_epi32(halves[1].symbols, zero)) << half_groups;
    for (int bit = 0; bit < rows_.extra_bits; ++bit) {
      uint16_t set;
      if (all) {
        std::memcpy(&set, fields_ + 24 * Quads + 2 * bit, sizeof(set));
      } else {
        set = static_cast<uint16_t>(_pdep_u32(static_cast<uint32_t>(open_.peek()), some));
        open_.skip(static_cast<unsigned>(__builtin_popcount(some)));
      }
      for (size_t h = 0; h < 2; ++h) {
        const __m256i chosen = lanes_of_bits(static_cast<uint32_t>(set) >> half_groups * h);
        halves[h].symbols = _mm256_or_si256(halves[h].symbols, _mm256_and_si256(chosen, _mm256_set1_epi32(4 << bit)));
      }
    }
  }

  // From the last coordinate, where all fours are at first, to their places.
  void move_fours(const __m256i (&lacking)[2], uint32_t mask, HalfResidues<Quads> (&halves)[2]) {
    constexpr int place_bits = Quads == 2 ? 3 : 4;
    const uint64_t lanes = _pdep_u64(mask, 0x1111111111111111);
    const uint64_t places = _pdep_u64(open_.peek_all(), (lanes << place_bits) - lanes);
    open_.skip(static_cast<unsigned>(place_bits * __builtin_popcount(mask)));
    for (size_t h = 0; h < 2; ++h) {
      const __m256i place = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(places >> 32 * h)),
                                                               _mm256_set_epi32(28, 24, 20, 16, 12, 8, 4, 0)),
                                             _mm256_set1_epi32(15));
      const __m256i four = _mm256_and_si256(lacking[h], _mm256_set1_epi32(4)), bit = _mm256_slli_epi32(place, 3);
      for (int q = 0; q < Quads; ++q) {
        // A shift beyond the lane, also a negative one, leaves nothing.
        const __m256i moved = _mm256_sllv_epi32(four, _mm256_sub_epi32(bit, _mm256_set1_epi32(32 * q)));
        halves[h].magnitudes[q] = _mm256_add_epi32(halves[h].magnitudes[q], moved);
      }
      __m256i& last = halves[h].magnitudes[Quads - 1];
      last = _mm256_sub_epi32(last, _mm256_slli_epi32(four, 24));
    }
  }

  void read_signs(HalfResidues<Quads> (&halves)[2]) {
    const __m256i zero = _mm256_setzero_si256();
    for (int q = 0; q < Quads; ++q) {
      uint64_t negative;
      if (rows_.signs == ResidueRows::Signs::all) {
        std::memcpy(&negative, fields_ + 16 * Quads + 8 * q, sizeof(negative));
      } else {
        uint64_t some = 0;
        for (size_t h = 0; h < 2; ++h) {
          const int none = _mm256_movemask_epi8(_mm256_cmpeq_epi8(halves[h].magnitudes[q], zero));
          some |= static_cast<uint64_t>(~static_cast<uint32_t>(none)) << 32 * h;
        }
        negative = _pdep_u64(signs_.peek_all(), some);
        signs_.skip(static_cast<unsigned>(__builtin_popcountll(some)));
      }
      for (size_t h = 0; h < 2; ++h) {
        halves[h].negative[q] = bytes_of_bits(static_cast<uint32_t>(negative >> 32 * h));
      }
    }
  }

  const ResidueRows& rows_;
  const uint8_t* fields_;
  BitWindow open_, signs_;
};

}  // namespace
}  // namespace pyramidion
