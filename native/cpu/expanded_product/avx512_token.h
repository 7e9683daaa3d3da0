// One token with expanded rows of the integers: as avx512_blocks.h reads blocks and with the same numbers, but written
// for the shape that most layers have, four-bit tags and narrow blocks, so that all constants stay in registers and
// rows follow each other without being looked up. Blocks with overflows or norms that are not usual leave the straight
// path.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "cpu/expanded_product/avx512_blocks.h"

namespace pyramidion {
namespace {

// Further ahead than where several tokens share a block: more bytes pass by in the same time.
constexpr size_t token_prefetch_distance = 4096;

template <int Quads>
class TokenProduct {
 public:
  static bool supports(const ExpandedRows& rows) {
    return (Quads == 2 || Quads == 4) && !rows.words && rows.tag_bits == 4 && !rows.forms.empty();
  }

  TokenProduct(const ExpandedRows& rows, size_t first, const SegmentTokens& token)
      : factors_(*rows.factors),
        blocks_(rows.blocks),
        last_lanes_(rows.last_lanes),
        pulses_(rows.row_pulses(first)),
        tags_(rows.row_tags(first)),
        forms_(rows.row_forms(first)),
        values_(token.values),
        corrections_(token.corrections) {}

  // Rows from the first on; 16 lanes each.
  void accumulate(size_t count, float* lanes) {
    const Constants constants(factors_);
    if (last_lanes_ == block_groups) {
      accumulate_rows(constants, Lanes<true>(last_lanes_), count, lanes);
    } else {
      accumulate_rows(constants, Lanes<false>(last_lanes_), count, lanes);
    }
  }

 private:
  struct Constants {
    explicit Constants(const GroupFactors& factors)
        : levels(
              _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << factors.levels.size()) - 1), factors.levels.data())),
          narrow_start(_mm512_set1_epi32(4 * Quads * 64 - static_cast<int>(factors.first_norm))),
          overflow_start(_mm512_set1_epi32(4 * Quads * 256 - static_cast<int>(factors.first_norm))),
          half(_mm512_set1_epi32(GroupFactors::usual_norms / 2)) {
      // A constant that the compiler knows it would make anew for every block.
      asm("" : "+v"(half));
      for (int i = 0; i < 4; ++i) inverse_norms[i] = _mm512_load_ps(factors.inverse_norms + 16 * i);
    }

    __m512 levels, inverse_norms[4];
    // What sums of squares less the least norm begin with, by the offset of the pulses.
    __m512i narrow_start, overflow_start, half;
  };

  template <class LastLanes>
  inline __attribute__((always_inline)) void accumulate_rows(const Constants& constants, LastLanes last, size_t count,
                                                             float* lanes) {
    for (size_t row = 0; row < count; ++row, lanes += block_groups) {
      const int8_t* x = values_;
      const int32_t* corrections = corrections_;
      __m512 sums = _mm512_loadu_ps(lanes);
      for (size_t b = 1; b < blocks_; ++b, x += Quads * 64, corrections += block_groups) {
        sums = add_block(constants, Lanes<true>(block_groups), x, corrections, sums);
      }
      _mm512_storeu_ps(lanes, add_block(constants, last, x, corrections, sums));
    }
  }

  template <class Lanes>
  inline __attribute__((always_inline)) __m512 add_block(const Constants& constants, Lanes lanes, const int8_t* x,
                                                         const int32_t* corrections, __m512 sums) {
    for (int line = 0; line < Quads; line += 2) {
      _mm_prefetch(reinterpret_cast<const char*>(pulses_ + token_prefetch_distance + line * 32), _MM_HINT_T0);
    }
    const uint8_t form = *forms_++;
    Pulses<Quads> block;
    __m512i dot = _mm512_load_si512(corrections);
    if (__builtin_expect(form == ExpandedRows::wide, 0)) {
      read_wide(pulses_, lanes, block);
      block.square = _mm512_sub_epi32(block.square, _mm512_set1_epi32(static_cast<int>(factors_.first_norm)));
      pulses_ += Quads * lanes.bytes;
      dot = _mm512_slli_epi32(dot, 4);
    } else {
      read_nibbles(pulses_, lanes, _mm512_set1_epi8(15), block);
      pulses_ += Quads / 2 * lanes.bytes;
      if (form == 0) {
        square(block, constants.narrow_start, 8);
      } else {
        pulses_ = add_overflows(pulses_, form, 8, block);
        square(block, constants.overflow_start, 16);
        dot = _mm512_slli_epi32(dot, 1);
      }
    }
    for (int q = 0; q < Quads; ++q) dot = _mm512_dpbusd_epi32(dot, block.u[q], _mm512_load_si512(x + q * 64));
    const __m512 factor = read_factor(constants, lanes, block.square);
    tags_ += 8;
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), factor, sums);
  }

  static inline __attribute__((always_inline)) void square(Pulses<Quads>& block, __m512i start, int offset) {
    block.square = start;
    for (int q = 0; q < Quads; ++q) {
      const __m512i shifted = _mm512_sub_epi8(block.u[q], _mm512_set1_epi8(static_cast<char>(2 * offset)));
      block.square = _mm512_dpbusd_epi32(block.square, block.u[q], shifted);
    }
  }

  // squares: less the least norm.
  template <class Lanes>
  inline __attribute__((always_inline)) __m512 read_factor(const Constants& constants, Lanes lanes,
                                                           __m512i squares) const {
    int64_t nibbles;
    std::memcpy(&nibbles, tags_, sizeof(nibbles));
    const __m512i places = _mm512_set_epi32(28, 28, 24, 24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0);
    // A permutation takes the lowest four bits of a lane alone.
    const __m512i level = _mm512_srlv_epi32(_mm512_set1_epi64(nibbles), places);
    const __m512i usual = _mm512_srli_epi32(squares, 1);
    const __mmask16 unusual = _mm512_cmpge_epu32_mask(usual, _mm512_add_epi32(constants.half, constants.half));
    if (__builtin_expect((unusual & lanes.mask) != 0, 0)) return look_up(level, squares, lanes.mask);
    const __m512 low = _mm512_permutex2var_ps(constants.inverse_norms[0], usual, constants.inverse_norms[1]);
    const __m512 high = _mm512_permutex2var_ps(constants.inverse_norms[2], usual, constants.inverse_norms[3]);
    const __mmask16 upper = _mm512_test_epi32_mask(usual, constants.half);
    return _mm512_mul_ps(_mm512_permutexvar_ps(level, constants.levels), _mm512_mask_mov_ps(low, upper, high));
  }

  __attribute__((noinline)) __m512 look_up(__m512i level, __m512i squares, __mmask16 lanes) const {
    const __m512i stride = _mm512_set1_epi32(static_cast<int>(factors_.stride));
    const __m512i start = _mm512_mullo_epi32(_mm512_and_si512(level, _mm512_set1_epi32(15)), stride);
    const __m512i place =
        _mm512_add_epi32(_mm512_add_epi32(start, squares), _mm512_set1_epi32(static_cast<int>(factors_.first_norm)));
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, place, factors_.values.data(), 4);
  }

  const GroupFactors& factors_;
  size_t blocks_, last_lanes_;
  const uint8_t *pulses_, *tags_, *forms_;
  const int8_t* values_;
  const int32_t* corrections_;
};

}  // namespace
}  // namespace pyramidion
