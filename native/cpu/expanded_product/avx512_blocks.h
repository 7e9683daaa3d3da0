// Reads the blocks of expanded rows with AVX-512 (F, BW, DQ, VL, VNNI), 16 groups at once, one in each lane. vpdpbusd
// multiplies unsigned with signed bytes, so pulses are kept and used with an offset: with u = p + c,
//   <p, q> = <u, q> - c sum q        (the tokens come with -8 sum q),
//   sum p^2 = <u, u - 2c> + D c^2    (u - 2c fits a signed byte for c = 8 and 16; wide pulses, c = 128, are squared as
//   |p|).
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

// GCC 12 takes the "undefined" vectors inside its own intrinsics for uninitialised variables (bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstring>

#include "core/pvq/expanded_rows.h"
#include "cpu/expanded_product/word_bits.h"

namespace pyramidion {
namespace {

// A block's pulses with an offset of 2^offset_log2, and the sums of their squares.
template <int Quads>
struct Pulses {
  __m512i u[Quads], square;
};

template <int Quads>
inline void square_offset(Pulses<Quads>& block, int offset) {
  block.square = _mm512_set1_epi32(4 * Quads * offset * offset);
  for (int q = 0; q < Quads; ++q) {
    const __m512i shifted = _mm512_sub_epi8(block.u[q], _mm512_set1_epi8(static_cast<char>(2 * offset)));
    block.square = _mm512_dpbusd_epi32(block.square, block.u[q], shifted);
  }
}

template <int Quads>
inline void read_narrow(const uint8_t* pulses, Pulses<Quads>& block) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int q = 0; q < Quads; q += 2) {
    const __m512i both = _mm512_load_si512(pulses + q / 2 * 64);
    block.u[q] = _mm512_and_si512(both, low);
    block.u[q + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  }
  square_offset(block, 8);
}

// Half pulses h + 8: u = 2 (h + 8) + word bit = p + 16. The low five bits of a tag are the word.
template <int Quads>
inline void read_halves(const uint8_t* pulses, const WordBits& bits, __m512i tags, Pulses<Quads>& block) {
  const __m512i even = _mm512_set1_epi8(30);
  for (int q = 0; q < Quads; q += 2) {
    const __m512i both = _mm512_load_si512(pulses + q / 2 * 64);
    const __m512i doubled[2] = {_mm512_slli_epi16(both, 1), _mm512_srli_epi16(both, 3)};
    for (int half = 0; half < 2; ++half) {
      const uint32_t* table = bits.quads[(q + half) % 4];
      const __m512i odd = _mm512_permutex2var_epi32(_mm512_load_si512(table), tags, _mm512_load_si512(table + 16));
      // (doubled & even) | odd
      block.u[q + half] = _mm512_ternarylogic_epi32(doubled[half], even, odd, 0xea);
    }
  }
  square_offset(block, 16);
}

template <int Quads>
inline void read_wide(const uint8_t* pulses, Pulses<Quads>& block) {
  const __m512i sign = _mm512_set1_epi8(-128);
  block.square = _mm512_setzero_si512();
  for (int q = 0; q < Quads; ++q) {
    block.u[q] = _mm512_load_si512(pulses + q * 64);
    const __m512i magnitude = _mm512_abs_epi8(_mm512_xor_si512(block.u[q], sign));
    block.square = _mm512_dpbusd_epi32(block.square, magnitude, magnitude);
  }
}

// Tags of a block into 32-bit lanes.
inline __m512i read_tags(const uint8_t* tags, int bits) {
  if (bits == 4) {
    int64_t nibbles;
    std::memcpy(&nibbles, tags, sizeof(nibbles));
    const __m512i places = _mm512_set_epi32(28, 28, 24, 24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0);
    return _mm512_and_si512(_mm512_srlv_epi32(_mm512_set1_epi64(nibbles), places), _mm512_set1_epi32(15));
  }
  if (bits == 8) return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tags)));
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tags)));
}

// level * (1 / ||p||): by registers where there are few levels and all 16 norms are usual ones, else out of the table
// of all.
class FactorReader {
 public:
  explicit FactorReader(const GroupFactors& factors)
      : factors_(factors),
        stride_(_mm512_set1_epi32(static_cast<int>(factors.stride))),
        few_(factors.levels.size() <= block_groups),
        levels_(_mm512_maskz_loadu_ps(static_cast<__mmask16>(few_ ? (1u << factors.levels.size()) - 1 : 0xffff),
                                      factors.levels.data())),
        first_(_mm512_set1_epi32(static_cast<int>(factors.first_norm))),
        shift_(_mm512_set1_epi32(static_cast<int>(factors.norm_shift))) {
    for (int i = 0; i < 4; ++i) inverse_norms_[i] = _mm512_load_ps(factors.inverse_norms + 16 * i);
  }

  __m512 read(__m512i level, __m512i square) const {
    const __m512i usual = _mm512_srlv_epi32(_mm512_sub_epi32(square, first_), shift_);
    if (few_ && _mm512_cmpge_epu32_mask(usual, _mm512_set1_epi32(GroupFactors::usual_norms)) == 0) {
      const __m512 low = _mm512_permutex2var_ps(inverse_norms_[0], usual, inverse_norms_[1]);
      const __m512 high = _mm512_permutex2var_ps(inverse_norms_[2], usual, inverse_norms_[3]);
      const __mmask16 upper = _mm512_test_epi32_mask(usual, _mm512_set1_epi32(32));
      return _mm512_mul_ps(_mm512_permutexvar_ps(level, levels_), _mm512_mask_mov_ps(low, upper, high));
    }
    const __m512i place = _mm512_add_epi32(_mm512_mullo_epi32(level, stride_), square);
    return _mm512_i32gather_ps(place, factors_.values.data(), 4);
  }

 private:
  const GroupFactors& factors_;
  __m512i stride_;
  bool few_;
  __m512 levels_, inverse_norms_[4];
  __m512i first_, shift_;
};

// The blocks of a row one after the other.
template <int Quads, bool Words>
class BlockCursor {
 public:
  BlockCursor(const ExpandedRows& rows, size_t row)
      : pulses_(rows.pulses.data() + rows.rows[row].pulses),
        tags_(rows.row_tags(row)),
        wide_(rows.wide_blocks.data() + rows.rows[row].wide_blocks),
        wide_end_(rows.wide_blocks.data() + rows.rows[row + 1].wide_blocks) {}

  // Block b, which is the next, into `block` and `factor`. Returns log2 of its pulses' offset: 3, 4 or 7.
  int read(const ExpandedRows& rows, const FactorReader& factors, size_t b, Pulses<Quads>& block, __m512& factor) {
    static const WordBits bits;
    const __m512i tags = read_tags(tags_, rows.tag_bits);
    tags_ += rows.tag_bytes();
    const __m512i levels = Words ? _mm512_srli_epi32(tags, 5) : tags;
    const bool in_list = wide_ != wide_end_ && *wide_ == b;
    if (Quads == 1 || rows.all_wide || in_list) {
      wide_ += in_list ? 1 : 0;
      read_wide(pulses_, block);
      pulses_ += Quads * 64;
      factor = factors.read(levels, block.square);
      return 7;
    }
    if constexpr (Words) {
      read_halves(pulses_, bits, tags, block);
    } else if constexpr (Quads > 1) {
      read_narrow(pulses_, block);
    }
    pulses_ += Quads * 32;
    factor = factors.read(levels, block.square);
    return Words ? 4 : 3;
  }

 private:
  const uint8_t *pulses_, *tags_;
  const uint32_t *wide_, *wide_end_;
};

}  // namespace
}  // namespace pyramidion
