// 16 groups at once with AVX-512 (F, BW, DQ, VL, VNNI), one in each lane. vpdpbusd multiplies unsigned with signed
// bytes, so pulses are kept and used with an offset: with u = p + c,
//   <p, q> = <u, q> - c sum q        (the tokens come with -8 sum q),
//   sum p^2 = <u, u - 2c> + D c^2    (u - 2c fits a signed byte for c = 8 and 16; wide pulses, c = 128, are squared as
//   |p|).
#if defined(__x86_64__)
// GCC 12 takes the "undefined" vectors inside its own intrinsics for uninitialised variables (bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstring>

#include "cpu/expanded_product/dispatch.h"
#include "cpu/expanded_product/shapes.h"
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

// The products of one block with Tokens tokens. correction: log2 of the pulses' offset, less 3.
template <int Quads, int Tokens>
inline void multiply(const Pulses<Quads>& block, int correction, __m512 factor, const SegmentTokens& tokens, size_t b,
                     __m512 (&sums)[Tokens]) {
  for (int t = 0; t < Tokens; ++t) {
    const int8_t* x = tokens.values + static_cast<size_t>(t) * tokens.value_stride + b * Quads * 64;
    const int32_t* corrections = tokens.corrections + static_cast<size_t>(t) * tokens.correction_stride;
    __m512i dot = _mm512_load_si512(corrections + b * block_groups);
    if (correction > 0) dot = _mm512_slli_epi32(dot, static_cast<unsigned>(correction));
    for (int q = 0; q < Quads; ++q) dot = _mm512_dpbusd_epi32(dot, block.u[q], _mm512_load_si512(x + q * 64));
    sums[t] = _mm512_add_ps(sums[t], _mm512_mul_ps(_mm512_cvtepi32_ps(dot), factor));
  }
}

// All rows with the first Tokens tokens; a row's lanes are row_lanes apart.
template <int Quads, bool Words, int Tokens>
void accumulate_tokens(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes,
                       size_t row_lanes) {
  static const WordBits bits;
  const FactorReader factors(*rows.factors);
  const size_t tag_bytes = rows.tag_bytes();
  for (size_t row = first; row < first + count; ++row, lanes += row_lanes) {
    const uint8_t* pulses = rows.pulses.data() + rows.rows[row].pulses;
    const uint8_t* row_tags = rows.row_tags(row);
    const uint32_t* wide = rows.wide_blocks.data() + rows.rows[row].wide_blocks;
    const uint32_t* const wide_end = rows.wide_blocks.data() + rows.rows[row + 1].wide_blocks;
    __m512 sums[Tokens];
    for (int t = 0; t < Tokens; ++t) sums[t] = _mm512_loadu_ps(lanes + static_cast<size_t>(t) * block_groups);
    for (size_t b = 0; b < rows.blocks; ++b, row_tags += tag_bytes) {
      const __m512i tags = read_tags(row_tags, rows.tag_bits);
      const __m512i levels = Words ? _mm512_srli_epi32(tags, 5) : tags;
      Pulses<Quads> block;
      const bool in_list = wide != wide_end && *wide == b;
      if (Quads == 1 || rows.all_wide || in_list) {
        wide += in_list ? 1 : 0;
        read_wide(pulses, block);
        pulses += Quads * 64;
        multiply(block, 4, factors.read(levels, block.square), tokens, b, sums);
      } else {
        if constexpr (Words) {
          read_halves(pulses, bits, tags, block);
        } else if constexpr (Quads > 1) {
          read_narrow(pulses, block);
        }
        pulses += Quads * 32;
        multiply(block, Words ? 1 : 0, factors.read(levels, block.square), tokens, b, sums);
      }
    }
    for (int t = 0; t < Tokens; ++t) _mm512_storeu_ps(lanes + static_cast<size_t>(t) * block_groups, sums[t]);
  }
}

template <int Quads, bool Words>
void accumulate_shape(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  const size_t row_lanes = tokens.count * block_groups;
  size_t t = 0;
  for (; t + 8 <= tokens.count; t += 8) {
    accumulate_tokens<Quads, Words, 8>(rows, first, count, tokens.slice(t, 8), lanes + t * block_groups, row_lanes);
  }
  for (; t + 4 <= tokens.count; t += 4) {
    accumulate_tokens<Quads, Words, 4>(rows, first, count, tokens.slice(t, 4), lanes + t * block_groups, row_lanes);
  }
  for (; t + 2 <= tokens.count; t += 2) {
    accumulate_tokens<Quads, Words, 2>(rows, first, count, tokens.slice(t, 2), lanes + t * block_groups, row_lanes);
  }
  if (t < tokens.count) {
    accumulate_tokens<Quads, Words, 1>(rows, first, count, tokens.slice(t, 1), lanes + t * block_groups, row_lanes);
  }
}

void accumulate(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  with_shape(rows, [&](auto shape) {
    using Shape = decltype(shape);
    accumulate_shape<Shape::quads, Shape::words>(rows, first, count, tokens, lanes);
  });
}

}  // namespace

extern const ExpandedProductKernel expanded_product_avx512 = {InstructionSet::avx512, has_factor_table, accumulate};

}  // namespace pyramidion
#endif
