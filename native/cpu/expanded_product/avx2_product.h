// Products of expanded rows with AVX2, or with AVX2 and AVX-VNNI where a file is compiled for that. With few tokens a
// half of a row is read for all of them at once; with many, a panel of rows, some blocks long, is read once and stays
// in the first-level cache while all tokens pass by.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "cpu/expanded_product/avx2_blocks.h"
#include "cpu/expanded_product/shapes.h"

namespace pyramidion {
namespace {

template <int Quads>
struct Panel {
  static constexpr size_t max_rows = 8;
  // 1024 columns.
  static constexpr size_t max_blocks = 16 / Quads;

  HalfBlock<Quads> halves[max_rows][2][max_blocks];
};

// Adds the products of a half block with Tokens tokens to sums. x, correction: those of the half block and first token.
template <class Shape, int Tokens>
inline void multiply(const HalfBlock<Shape::quads>& half, const SegmentTokens& tokens, const int8_t* x,
                     const int32_t* correction, __m256 (&sums)[Tokens]) {
  constexpr int offset_log2 = HalfCursor<Shape>::offset_log2;
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t, x += tokens.value_stride, correction += tokens.correction_stride) {
    __m256i dot;
    if (half.is_wide) {
      dot = dot_wide(half.pulses, x);
    } else if (half.has_overflows) {
      dot = dot_narrow<offset_log2 + 1>(half.pulses, x, correction);
    } else {
      dot = dot_narrow<offset_log2>(half.pulses, x, correction);
    }
    sums[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), half.factor, sums[t]);
  }
}

// Half of `blocks` blocks, which at(b) gives, with the first Tokens tokens; lanes: those of the half and first token.
template <class Shape, int Tokens, class At>
inline void accumulate_half(const At& at, size_t blocks, size_t half, const SegmentTokens& tokens, float* lanes) {
  __m256 sums[Tokens];
  for (int t = 0; t < Tokens; ++t) sums[t] = _mm256_loadu_ps(lanes + static_cast<size_t>(t) * block_groups);
  for (size_t b = 0; b < blocks; ++b) {
    multiply<Shape, Tokens>(at(b), tokens, tokens.values + b * Shape::quads * 64 + half * 32,
                            tokens.corrections + b * block_groups + half * half_groups, sums);
  }
  for (int t = 0; t < Tokens; ++t) _mm256_storeu_ps(lanes + static_cast<size_t>(t) * block_groups, sums[t]);
}

template <class Shape>
void accumulate_row(const ExpandedRows& rows, size_t row, const SegmentTokens& tokens, float* lanes) {
  in_groups<4>(tokens.count, [&](size_t t, auto group) {
    for (size_t half = 0; half < 2; ++half) {
      HalfCursor<Shape> cursor(rows, row, half);
      const auto next = [&](size_t b) {
        HalfBlock<Shape::quads> block;
        cursor.read(rows, b, block);
        return block;
      };
      accumulate_half<Shape, decltype(group)::value>(next, rows.blocks, half, tokens.slice(t, group()),
                                                     lanes + t * block_groups + half * half_groups);
    }
  });
}

// Up to Panel::max_rows rows.
template <class Shape>
void accumulate_panel(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  using Rows = Panel<Shape::quads>;
  Rows panel;
  HalfCursor<Shape> cursors[Rows::max_rows][2];
  for (size_t row = 0; row < count; ++row) {
    for (size_t half = 0; half < 2; ++half) cursors[row][half] = HalfCursor<Shape>(rows, first + row, half);
  }
  for (size_t begin = 0; begin < rows.blocks; begin += Rows::max_blocks) {
    const size_t left = rows.blocks - begin, blocks = left < Rows::max_blocks ? left : Rows::max_blocks;
    for (size_t row = 0; row < count; ++row) {
      for (size_t half = 0; half < 2; ++half) {
        for (size_t b = 0; b < blocks; ++b) cursors[row][half].read(rows, begin + b, panel.halves[row][half][b]);
      }
    }
    const SegmentTokens inputs = tokens.from_block(begin, Shape::quads);
    in_groups<4>(tokens.count, [&](size_t t, auto group) {
      for (size_t row = 0; row < count; ++row) {
        for (size_t half = 0; half < 2; ++half) {
          const auto at = [&](size_t b) -> const HalfBlock<Shape::quads>& { return panel.halves[row][half][b]; };
          accumulate_half<Shape, decltype(group)::value>(
              at, blocks, half, inputs.slice(t, group()),
              lanes + (row * tokens.count + t) * block_groups + half * half_groups);
        }
      }
    });
  }
}

template <class Shape>
void accumulate_shape(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  // With fewer tokens nothing would be read twice.
  const size_t height = tokens.count > 4 ? Panel<Shape::quads>::max_rows : 1;
  for (size_t row = 0; row < count; row += height, lanes += height * tokens.count * block_groups) {
    if (height > 1) {
      accumulate_panel<Shape>(rows, first + row, count - row < height ? count - row : height, tokens, lanes);
    } else {
      accumulate_row<Shape>(rows, first + row, tokens, lanes);
    }
  }
}

void accumulate(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  with_shape(rows, [&](auto shape) { accumulate_shape<decltype(shape)>(rows, first, count, tokens, lanes); });
}

}  // namespace
}  // namespace pyramidion
