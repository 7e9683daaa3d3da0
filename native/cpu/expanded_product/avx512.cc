// 16 groups at once with AVX-512 (F, BW, DQ, VL, VNNI): rows one by one with few tokens, in panels with many.
#if defined(__x86_64__)
#include "cpu/expanded_product/avx512_blocks.h"
#include "cpu/expanded_product/avx512_panel.h"
#include "cpu/expanded_product/avx512_token.h"
#include "cpu/expanded_product/dispatch.h"
#include "cpu/expanded_product/shapes.h"

namespace pyramidion {
namespace {

// From this many tokens on, keeping expanded pulses for all of them is worth storing them.
constexpr size_t kPanelTokens = 16;

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
void accumulate_tokens(const ExpandedRows& rows, size_t first, size_t count, const FactorReader& factors,
                       const SegmentTokens& tokens, float* lanes, size_t row_lanes) {
  for (size_t row = first; row < first + count; ++row, lanes += row_lanes) {
    BlockCursor<Quads, Words> cursor(rows, row);
    __m512 sums[Tokens];
    for (int t = 0; t < Tokens; ++t) sums[t] = _mm512_loadu_ps(lanes + static_cast<size_t>(t) * block_groups);
    for (size_t b = 0; b < rows.blocks; ++b) {
      cursor.next(rows, factors, b, [&](const Pulses<Quads>& block, __m512 factor, auto offset) {
        multiply(block, offset - 3, factor, tokens, b, sums);
      });
    }
    for (int t = 0; t < Tokens; ++t) _mm512_storeu_ps(lanes + static_cast<size_t>(t) * block_groups, sums[t]);
  }
}

template <int Quads, bool Words>
void accumulate_shape(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  if constexpr (!Words) {
    if (tokens.count == 1 && TokenProduct<Quads>::supports(rows)) {
      return TokenProduct<Quads>(rows, first, tokens).accumulate(count, lanes);
    }
  }
  const FactorReader factors(*rows.factors);
  const size_t row_lanes = tokens.count * block_groups;
  if (tokens.count >= kPanelTokens) {
    for (size_t row = 0; row < count; row += PanelShape<Quads>::rows) {
      accumulate_panel<Quads, Words>(rows, first + row, std::min(PanelShape<Quads>::rows, count - row), factors, tokens,
                                     lanes + row * row_lanes, row_lanes);
    }
    return;
  }
  const auto with = [&](size_t t, auto group) {
    constexpr int width = decltype(group)::value;
    accumulate_tokens<Quads, Words, width>(rows, first, count, factors, tokens.slice(t, width),
                                           lanes + t * block_groups, row_lanes);
    return t + width;
  };
  size_t t = 0;
  if (tokens.count >= 8) t = with(t, std::integral_constant<int, 8>());
  if (tokens.count - t >= 4) t = with(t, std::integral_constant<int, 4>());
  if (tokens.count - t >= 2) t = with(t, std::integral_constant<int, 2>());
  if (t < tokens.count) with(t, std::integral_constant<int, 1>());
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
