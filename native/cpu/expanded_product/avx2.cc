// Eight groups at once with AVX2, one in each lane: lanes 0 to 7 of all blocks of a row, then lanes 8 to 15.
//
// vpmaddubsw multiplies unsigned with signed bytes and adds pairs in 16 bits. With u = p + c as narrow blocks keep
// pulses (c = 8, 16 for half pulses), what all quads add up to stays within them: 8 * 2 * 15 * 127 and 4 * 2 * 31 * 127
// are below 2^15. As for AVX-512,
//   <p, q> = <u, q> - c sum q,   sum p^2 = <u, u - 2c> + D c^2.
// Wide pulses are multiplied as <|p|, sign(p) q>, a quad at a time.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>
#include <type_traits>

#include "cpu/expanded_product/dispatch.h"
#include "cpu/expanded_product/shapes.h"
#include "cpu/expanded_product/word_bits.h"

namespace pyramidion {
namespace {

constexpr size_t half_groups = block_groups / 2;

inline __m256i load(const void* bytes) { return _mm256_loadu_si256(static_cast<const __m256i*>(bytes)); }

// Pairs of 16 bits into 32.
inline __m256i widen(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

// Half a block: pulses with an offset where it is narrow, as they are where it is wide; and the sums of their squares.
template <int Quads>
struct Pulses {
  __m256i quads[Quads], square;
};

template <int Quads>
inline void square_offset(Pulses<Quads>& block, int offset) {
  __m256i sum = _mm256_setzero_si256();
  for (const __m256i& u : block.quads) {
    const __m256i shifted = _mm256_sub_epi8(u, _mm256_set1_epi8(static_cast<char>(2 * offset)));
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(u, shifted));
  }
  block.square = _mm256_add_epi32(widen(sum), _mm256_set1_epi32(4 * Quads * offset * offset));
}

template <int Quads>
inline void read_narrow(const uint8_t* pulses, Pulses<Quads>& block) {
  const __m256i low = _mm256_set1_epi8(15);
  for (int q = 0; q + 1 < Quads; q += 2) {
    const __m256i both = load(pulses + q / 2 * 64);
    block.quads[q] = _mm256_and_si256(both, low);
    block.quads[q + 1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
  }
  square_offset(block, 8);
}

// Half pulses h + 8: u = 2 (h + 8) + word bit = p + 16. The bits of the first quad follow from the lowest three of the
// word's number; its next two turn those of quads 1 and 3, and of quads 2 and 3 (core/pvq/reed_muller.h).
inline void read_halves(const uint8_t* pulses, __m256i first_bits, __m256i tags, Pulses<4>& block) {
  const __m256i even = _mm256_set1_epi8(30), ones = _mm256_set1_epi8(1);
  const __m256i turn1 = _mm256_and_si256(_mm256_srai_epi32(_mm256_slli_epi32(tags, 28), 31), ones);
  const __m256i turn2 = _mm256_and_si256(_mm256_srai_epi32(_mm256_slli_epi32(tags, 27), 31), ones);
  __m256i odd[4];
  odd[0] = _mm256_permutevar8x32_epi32(first_bits, tags);
  odd[1] = _mm256_xor_si256(odd[0], turn1);
  odd[2] = _mm256_xor_si256(odd[0], turn2);
  odd[3] = _mm256_xor_si256(odd[1], turn2);
  for (int q = 0; q < 4; ++q) {
    const __m256i both = load(pulses + q / 2 * 64);
    const __m256i doubled = q % 2 == 0 ? _mm256_slli_epi16(both, 1) : _mm256_srli_epi16(both, 3);
    block.quads[q] = _mm256_or_si256(_mm256_and_si256(doubled, even), odd[q]);
  }
  square_offset(block, 16);
}

template <int Quads>
inline void read_wide(const uint8_t* pulses, Pulses<Quads>& block) {
  block.square = _mm256_setzero_si256();
  for (int q = 0; q < Quads; ++q) {
    block.quads[q] = _mm256_xor_si256(load(pulses + q * 64), _mm256_set1_epi8(-128));
    const __m256i magnitude = _mm256_abs_epi8(block.quads[q]);
    block.square = _mm256_add_epi32(block.square, widen(_mm256_maddubs_epi16(magnitude, magnitude)));
  }
}

// The tags of half a block into 32-bit lanes.
inline __m256i read_tags(const uint8_t* tags, int bits, size_t half) {
  if (bits == 4) {
    long long nibbles;
    std::memcpy(&nibbles, tags, sizeof(nibbles));
    const __m256i places =
        _mm256_add_epi32(_mm256_set_epi32(12, 12, 8, 8, 4, 4, 0, 0), _mm256_set1_epi32(static_cast<int>(16 * half)));
    return _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi64x(nibbles), places), _mm256_set1_epi32(15));
  }
  if (bits == 8) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(tags + half * half_groups)));
  }
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tags + half * half_groups * 2)));
}

// x: the tokens' inputs of the half block; correction: -8 times their sums.
template <int Quads>
inline __m256i dot_narrow(const Pulses<Quads>& block, const int8_t* x, const int32_t* correction, bool doubled) {
  __m256i sum = _mm256_maddubs_epi16(block.quads[0], load(x));
  for (int q = 1; q < Quads; ++q) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(block.quads[q], load(x + q * 64)));
  }
  const __m256i offset = load(correction);
  return _mm256_add_epi32(widen(sum), doubled ? _mm256_add_epi32(offset, offset) : offset);
}

template <int Quads>
inline __m256i dot_wide(const Pulses<Quads>& block, const int8_t* x) {
  __m256i sum = _mm256_setzero_si256();
  for (int q = 0; q < Quads; ++q) {
    const __m256i signed_x = _mm256_sign_epi8(load(x + q * 64), block.quads[q]);
    sum = _mm256_add_epi32(sum, widen(_mm256_maddubs_epi16(_mm256_abs_epi8(block.quads[q]), signed_x)));
  }
  return sum;
}

// One half of a row with Tokens tokens; lanes: those of the half.
template <int Quads, bool Words, int Tokens>
inline void accumulate_half(const ExpandedRows& rows, size_t row, size_t half, __m256i first_bits,
                            const SegmentTokens& tokens, float* lanes) {
  const uint8_t* pulses = rows.pulses.data() + rows.rows[row].pulses + half * 32;
  const uint8_t* row_tags = rows.row_tags(row);
  const uint32_t* wide = rows.wide_blocks.data() + rows.rows[row].wide_blocks;
  const uint32_t* const wide_end = rows.wide_blocks.data() + rows.rows[row + 1].wide_blocks;
  const __m256i stride = _mm256_set1_epi32(static_cast<int>(rows.factors->stride));
  __m256 sums[Tokens];
  for (int t = 0; t < Tokens; ++t) sums[t] = _mm256_loadu_ps(lanes + static_cast<size_t>(t) * block_groups);
  for (size_t b = 0; b < rows.blocks; ++b, row_tags += rows.tag_bytes()) {
    const __m256i tags = read_tags(row_tags, rows.tag_bits, half);
    const bool in_list = wide != wide_end && *wide == b;
    const bool is_wide = Quads == 1 || rows.all_wide || in_list;
    wide += in_list ? 1 : 0;
    Pulses<Quads> block;
    if (is_wide) {
      read_wide(pulses, block);
    } else if constexpr (Words) {
      read_halves(pulses, first_bits, tags, block);
    } else {
      read_narrow(pulses, block);
    }
    pulses += is_wide ? Quads * 64 : Quads * 32;
    const __m256i level = Words ? _mm256_srli_epi32(tags, 5) : tags;
    const __m256i place = _mm256_add_epi32(_mm256_mullo_epi32(level, stride), block.square);
    const __m256 factor = _mm256_i32gather_ps(rows.factors->values.data(), place, 4);
    for (int t = 0; t < Tokens; ++t) {
      const int8_t* x = tokens.values + static_cast<size_t>(t) * tokens.value_stride + b * Quads * 64 + half * 32;
      const int32_t* correction = tokens.corrections + static_cast<size_t>(t) * tokens.correction_stride +
                                  b * block_groups + half * half_groups;
      const __m256i dot = is_wide ? dot_wide(block, x) : dot_narrow(block, x, correction, Words);
      sums[t] = _mm256_add_ps(sums[t], _mm256_mul_ps(_mm256_cvtepi32_ps(dot), factor));
    }
  }
  for (int t = 0; t < Tokens; ++t) _mm256_storeu_ps(lanes + static_cast<size_t>(t) * block_groups, sums[t]);
}

template <int Quads, bool Words>
void accumulate_shape(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  static const WordBits bits;
  const __m256i first_bits = load(bits.quads[0]);
  const auto with = [&](auto group, size_t t) {
    for (size_t row = 0; row < count; ++row) {
      for (size_t half = 0; half < 2; ++half) {
        accumulate_half<Quads, Words, decltype(group)::value>(
            rows, first + row, half, first_bits, tokens.slice(t, decltype(group)::value),
            lanes + (row * tokens.count + t) * block_groups + half * half_groups);
      }
    }
  };
  size_t t = 0;
  for (; t + 4 <= tokens.count; t += 4) with(std::integral_constant<int, 4>(), t);
  for (; t < tokens.count; ++t) with(std::integral_constant<int, 1>(), t);
}

void accumulate(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  with_shape(rows, [&](auto shape) {
    using Shape = decltype(shape);
    accumulate_shape<Shape::quads, Shape::words>(rows, first, count, tokens, lanes);
  });
}

}  // namespace

extern const ExpandedProductKernel expanded_product_avx2;
const ExpandedProductKernel expanded_product_avx2 = {InstructionSet::avx2, has_factor_table, accumulate};

}  // namespace pyramidion
#endif
