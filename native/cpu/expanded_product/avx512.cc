// 16 groups at once with AVX-512 (F, BW, DQ, VL, VNNI), a few rows side by side. Many tokens go through
// cpu/panel_product.
#if defined(__x86_64__)
#include "cpu/expanded_product/avx512_blocks.h"
#include "cpu/expanded_product/avx512_row_group.h"
#include "cpu/expanded_product/avx512_token.h"
#include "cpu/expanded_product/dispatch.h"
#include "cpu/expanded_product/shapes.h"

namespace pyramidion {
namespace {

// The products of block b of Rows rows with Tokens tokens. correction: log2 of the pulses' offset, less 3.
template <int Rows, int Quads, int Tokens>
inline __attribute__((always_inline)) void multiply(const Pulses<Quads> (&blocks)[Rows], const __m512 (&factors)[Rows],
                                                    int correction, const SegmentTokens& tokens, size_t b,
                                                    __m512 (&sums)[Rows][Tokens]) {
#pragma GCC unroll 8
  for (size_t t = 0; t < Tokens; ++t) {
    const int8_t* x = tokens.values + t * tokens.value_stride + b * Quads * 64;
    __m512i start = _mm512_load_si512(tokens.corrections + t * tokens.correction_stride + b * block_groups);
    if (correction > 0) start = _mm512_slli_epi32(start, static_cast<unsigned>(correction));
    __m512i dots[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) dots[r] = start;
#pragma GCC unroll 8
    for (int q = 0; q < Quads; ++q) {
      const __m512i inputs = _mm512_load_si512(x + q * 64);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) dots[r] = _mm512_dpbusd_epi32(dots[r], blocks[r].u[q], inputs);
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      sums[r][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r]), factors[r], sums[r][t]);
    }
  }
}

// Rows [first, first + Rows) with the first Tokens tokens; lanes of a row are row_lanes apart.
template <int Quads, bool Words, int Rows, int Tokens>
__attribute__((noinline)) void accumulate_rows(const ExpandedRows& rows, size_t first, const FactorReader& factors,
                                               const NarrowConstants<Quads, Words>& constants,
                                               const SegmentTokens& tokens, std::integral_constant<int, Tokens>,
                                               float* lanes, size_t row_lanes) {
  __m512 sums[Rows][Tokens];
#pragma GCC unroll 8
  for (size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (size_t t = 0; t < Tokens; ++t) sums[r][t] = _mm512_loadu_ps(lanes + r * row_lanes + t * block_groups);
  }
  RowGroup<Quads, Words, Rows> group(rows, first, factors, constants);
  group.read([&](size_t b, const Pulses<Quads>(&blocks)[Rows], const __m512(&own)[Rows], auto offset_log2) {
    multiply(blocks, own, offset_log2 - 3, tokens, b, sums);
  });
#pragma GCC unroll 8
  for (size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (size_t t = 0; t < Tokens; ++t) _mm512_storeu_ps(lanes + r * row_lanes + t * block_groups, sums[r][t]);
  }
}

// All rows with all tokens, `Together` rows at a time.
template <int Quads, bool Words, int Together>
void accumulate_groups(const ExpandedRows& rows, size_t first, size_t count, const FactorReader& factors,
                       const SegmentTokens& tokens, float* lanes) {
  const NarrowConstants<Quads, Words> constants(factors);
  const size_t row_lanes = tokens.count * block_groups;
  const auto with = [&](size_t t, auto width) {
    in_groups<Together>(count, [&](size_t row, auto size) {
      accumulate_rows<Quads, Words, decltype(size)::value>(rows, first + row, factors, constants,
                                                           tokens.slice(t, width()), width,
                                                           lanes + row * row_lanes + t * block_groups, row_lanes);
    });
    return t + width();
  };
  size_t t = 0;
  while (tokens.count - t >= 8) t = with(t, std::integral_constant<int, 8>());
  if (tokens.count - t >= 4) t = with(t, std::integral_constant<int, 4>());
  if (tokens.count - t >= 2) t = with(t, std::integral_constant<int, 2>());
  if (t < tokens.count) with(t, std::integral_constant<int, 1>());
}

// Whether nearly all blocks of rows [first, first + count) are narrow and without overflows.
bool mostly_plain(const ExpandedRows& rows, size_t first, size_t count) {
  if (rows.forms.empty()) return false;
  const uint8_t* forms = rows.row_forms(first);
  const uint32_t blocks = static_cast<uint32_t>(count * rows.blocks);
  uint32_t others = 0;
  for (uint32_t i = 0; i < blocks; ++i) others += forms[i] != 0 ? 1 : 0;
  return others * 16 <= blocks;
}

template <int Quads, bool Words>
void accumulate_shape(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  if constexpr (!Words) {
    if (tokens.count == 1 && TokenProduct<Quads>::supports(rows)) {
      return TokenProduct<Quads>(rows, first, tokens).accumulate(count, lanes);
    }
  }
  const FactorReader factors(*rows.factors);
  if (mostly_plain(rows, first, count)) {
    // As many as have their pulses in 16 registers.
    accumulate_groups<Quads, Words, (Quads > 4 ? 2 : 4)>(rows, first, count, factors, tokens, lanes);
  } else {
    accumulate_groups<Quads, Words, 1>(rows, first, count, factors, tokens, lanes);
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
