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

// A block: magnitudes, all bits of bytes that are negative, and the symbols of levels. Pulses are multiplied as
// <|p|, sign(p) x>.
template <int Quads>
struct Residues {
  Bytes magnitudes[parts][Quads], negative[parts][Quads];
  Symbols symbols;

  Bytes left(size_t p, size_t q) const { return magnitudes[p][q]; }
  Bytes right(size_t p, size_t q, Bytes inputs) const { return turned(inputs, negative[p][q]); }
  Bytes pulses(size_t p, size_t q) const { return turned(magnitudes[p][q], negative[p][q]); }
};

template <int Quads>
class ResidueCursor {
 public:
  ResidueCursor(const ResidueRows& rows, size_t row)
      : rows_(rows), fields_(rows.row_fields(row)), open_(rows.row_open(row)), signs_(rows.row_signs(row)) {}

  // The next block, of which the first `lanes` lanes are groups.
  void next(size_t lanes, Residues<Quads>& block) {
    __m256i rest[parts];
    for (size_t p = 0; p < parts; ++p) rest[p] = read_fields(p, lanes, block);
    read_extra(block);
    for (int fours = 3;; fours += 4) {
      const __m256i bound = _mm256_set1_epi32(fours);
      const __m256i lacking[parts] = {_mm256_cmpgt_epi32(rest[0], bound), _mm256_cmpgt_epi32(rest[1], bound)};
      const uint32_t mask = bits_of_block(lacking);
      if (mask == 0) break;
      add_fours(lacking, mask, block);
    }
    read_signs(block);
    fields_ += rows_.block_bytes;
    _mm_prefetch(reinterpret_cast<const char*>(fields_ + 1024), _MM_HINT_T0);
  }

 private:
  static uint32_t bits_of_block(const __m256i (&lanes)[parts]) {
    return bits_of_lanes(lanes[0]) | bits_of_lanes(lanes[1]) << part_groups;
  }

  // Returns K less the residues but the last.
  __m256i read_fields(size_t p, size_t lanes, Residues<Quads>& block) const {
    const __m256i three = _mm256_set1_epi8(3);
    const __m256i fields = Quads == 4 ? load(fields_ + 32 * p)
                                      : _mm256_srl_epi32(load(fields_), _mm_cvtsi32_si128(4 * static_cast<int>(p)));
    __m256i sum = _mm256_setzero_si256();
    for (int q = 0; q < Quads; ++q) {
      block.magnitudes[p][q] = _mm256_and_si256(_mm256_srli_epi32(fields, 2 * q), three);
      sum = _mm256_add_epi8(sum, block.magnitudes[p][q]);
    }
    __m256i& last = block.magnitudes[p][Quads - 1];
    block.symbols.of[p] = _mm256_srli_epi32(last, 24);
    const auto own = static_cast<uint32_t>((uint64_t{1} << lanes) - 1) >> part_groups * p;
    const __m256i pulses = _mm256_and_si256(lanes_of_bits(own), _mm256_set1_epi32(rows_.pulses));
    const __m256i others = _mm256_sub_epi32(widen(_mm256_maddubs_epi16(sum, _mm256_set1_epi8(1))), block.symbols.of[p]);
    const __m256i rest = _mm256_sub_epi32(pulses, others);
    // Its lowest two bits are the last residue.
    last = _mm256_or_si256(_mm256_and_si256(last, _mm256_set1_epi32(0x00ffffff)),
                           _mm256_slli_epi32(_mm256_and_si256(rest, _mm256_set1_epi32(3)), 24));
    return rest;
  }

  void read_extra(Residues<Quads>& block) {
    const bool all = rows_.signs == ResidueRows::Signs::all;
    if (rows_.extra_bits == 0) return;
    const __m256i zero = _mm256_setzero_si256();
    const uint32_t some =
        bits_of_block({_mm256_cmpgt_epi32(block.symbols.of[0], zero), _mm256_cmpgt_epi32(block.symbols.of[1], zero)});
    for (int bit = 0; bit < rows_.extra_bits; ++bit) {
      uint16_t set;
      if (all) {
        std::memcpy(&set, fields_ + 24 * Quads + 2 * bit, sizeof(set));
      } else {
        set = static_cast<uint16_t>(_pdep_u32(static_cast<uint32_t>(open_.peek()), some));
        open_.skip(static_cast<unsigned>(__builtin_popcount(some)));
      }
      for (size_t p = 0; p < parts; ++p) {
        const __m256i chosen = lanes_of_bits(static_cast<uint32_t>(set) >> part_groups * p);
        block.symbols.of[p] =
            _mm256_or_si256(block.symbols.of[p], _mm256_and_si256(chosen, _mm256_set1_epi32(4 << bit)));
      }
    }
  }

  // At the next places, to groups of the mask.
  void add_fours(const __m256i (&lacking)[parts], uint32_t mask, Residues<Quads>& block) {
    constexpr int place_bits = Quads == 2 ? 3 : 4;
    const uint64_t lanes = _pdep_u64(mask, 0x1111111111111111);
    const uint64_t places = _pdep_u64(open_.peek_all(), (lanes << place_bits) - lanes);
    open_.skip(static_cast<unsigned>(place_bits * __builtin_popcount(mask)));
    for (size_t p = 0; p < parts; ++p) {
      const __m256i place = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(static_cast<int>(places >> 32 * p)),
                                                               _mm256_set_epi32(28, 24, 20, 16, 12, 8, 4, 0)),
                                             _mm256_set1_epi32(15));
      const __m256i four = _mm256_and_si256(lacking[p], _mm256_set1_epi32(4)), bit = _mm256_slli_epi32(place, 3);
      for (int q = 0; q < Quads; ++q) {
        // A shift beyond the lane, also a negative one, leaves nothing.
        const __m256i added = _mm256_sllv_epi32(four, _mm256_sub_epi32(bit, _mm256_set1_epi32(32 * q)));
        block.magnitudes[p][q] = _mm256_add_epi32(block.magnitudes[p][q], added);
      }
    }
  }

  void read_signs(Residues<Quads>& block) {
    const __m256i zero = _mm256_setzero_si256();
    for (int q = 0; q < Quads; ++q) {
      uint64_t negative;
      if (rows_.signs == ResidueRows::Signs::all) {
        std::memcpy(&negative, fields_ + 16 * Quads + 8 * q, sizeof(negative));
      } else {
        uint64_t some = 0;
        for (size_t p = 0; p < parts; ++p) {
          const int none = _mm256_movemask_epi8(_mm256_cmpeq_epi8(block.magnitudes[p][q], zero));
          some |= static_cast<uint64_t>(~static_cast<uint32_t>(none)) << 32 * p;
        }
        negative = _pdep_u64(signs_.peek_all(), some);
        signs_.skip(static_cast<unsigned>(__builtin_popcountll(some)));
      }
      for (size_t p = 0; p < parts; ++p) {
        block.negative[p][q] = bytes_of_bits(static_cast<uint32_t>(negative >> 32 * p));
      }
    }
  }

  const ResidueRows& rows_;
  const uint8_t* fields_;
  BitWindow open_, signs_;
};

}  // namespace
}  // namespace pyramidion
