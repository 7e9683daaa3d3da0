// Products of expanded rows with NEON. With one token, pulses and norms stay in registers. With more, a panel of rows,
// some blocks long, is read once and stays in the first-level cache while all tokens pass by, two rows and four tokens
// at a time, a quarter of each block after the other.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "cpu/expanded_product/dispatch.h"
#include "cpu/expanded_product/neon_blocks.h"
#include "cpu/symbol_factors/lane_sums.h"

namespace pyramidion {
namespace {

template <int Quads>
struct Panel {
  static constexpr size_t max_rows = 8;
  // 1024 columns.
  static constexpr size_t max_blocks = 16 / Quads;

  alignas(64) int8_t pulses[max_rows][max_blocks * Quads * 64];
  alignas(64) float factors[max_rows][max_blocks * block_groups];
};

// Rows of a panel with some tokens, one quarter of `blocks` blocks. pulses, factors: those of the first row and block;
// x: of the first token and block; lanes: of the quarter, first row and token, rows being row_lanes apart.
template <int Quads, int Rows, int Tokens>
inline void multiply_quarter(const int8_t* pulses, const float* factors, size_t blocks, const int8_t* x,
                             size_t token_stride, float* lanes, size_t row_lanes) {
  using Shape = Panel<Quads>;
  float32x4_t sums[Rows][Tokens];
  for (size_t r = 0; r < Rows; ++r) {
    for (size_t t = 0; t < Tokens; ++t) sums[r][t] = vld1q_f32(lanes + r * row_lanes + t * block_groups);
  }
  for (size_t b = 0; b < blocks; ++b) {
    Pulses<Quads> own[Rows];
    for (size_t r = 0; r < Rows; ++r) {
      for (size_t q = 0; q < Quads; ++q)
        own[r][q] = vld1q_s8(pulses + r * sizeof(Shape::pulses[0]) + (b * Quads + q) * 64);
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < Tokens; ++t) {
      Pulses<Quads> inputs;
      for (size_t q = 0; q < Quads; ++q) inputs[q] = vld1q_s8(x + t * token_stride + (b * Quads + q) * 64);
#pragma GCC unroll 2
      for (size_t r = 0; r < Rows; ++r) {
        const float32x4_t factor = vld1q_f32(factors + r * Shape::max_blocks * block_groups + b * block_groups);
        sums[r][t] = vfmaq_f32(sums[r][t], vcvtq_f32_s32(dot<Quads>(own[r], inputs)), factor);
      }
    }
  }
  for (size_t r = 0; r < Rows; ++r) {
    for (size_t t = 0; t < Tokens; ++t) vst1q_f32(lanes + r * row_lanes + t * block_groups, sums[r][t]);
  }
}

template <int Quads>
void multiply_panel(const Panel<Quads>& panel, size_t rows, size_t blocks, const SegmentTokens& tokens, float* lanes) {
  // Sixteen vectors of pulses leave no registers for sums.
  constexpr int rows_at_once = Quads > 4 ? 1 : 2;
  const size_t row_lanes = tokens.count * block_groups;
  in_groups<4>(tokens.count, [&](size_t t, auto token_count) {
    in_groups<rows_at_once>(rows, [&](size_t row, auto row_count) {
      for (size_t quarter = 0; quarter < 4; ++quarter) {
        multiply_quarter<Quads, decltype(row_count)::value, decltype(token_count)::value>(
            panel.pulses[row] + quarter * 16, panel.factors[row] + quarter * part_groups, blocks,
            tokens.values + t * tokens.value_stride + quarter * 16, tokens.value_stride,
            lanes + row * row_lanes + t * block_groups + quarter * part_groups, row_lanes);
      }
    });
  });
}

// The bits of the words' first quad.
inline uint8x16x2_t first_word_bits() {
  static const WordBits bits;
  const auto* bytes = reinterpret_cast<const uint8_t*>(bits.quads[0]);
  return {{vld1q_u8(bytes), vld1q_u8(bytes + 16)}};
}

// Up to Panel::max_rows rows.
template <int Quads, bool Words>
void accumulate_rows(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  using Shape = Panel<Quads>;
  const uint8x16x2_t first_bits = first_word_bits();
  const TagFactors<Quads, Words> factors(rows);
  Shape panel;
  BlockCursor<Quads, Words> cursors[Shape::max_rows];
  for (size_t row = 0; row < count; ++row) cursors[row] = BlockCursor<Quads, Words>(rows, first + row);
  for (size_t begin = 0; begin < rows.blocks; begin += Shape::max_blocks) {
    const size_t left = rows.blocks - begin, blocks = left < Shape::max_blocks ? left : Shape::max_blocks;
    for (size_t row = 0; row < count; ++row) {
      for (size_t b = 0; b < blocks; ++b) {
        int8_t* pulses = panel.pulses[row] + b * Quads * 64;
        const uint8_t* tags = cursors[row].tags();
        Sums squares[parts];
        cursors[row].read(rows, begin + b, first_bits, [&](size_t quarter, const Pulses<Quads>& own) {
          for (int q = 0; q < Quads; ++q) vst1q_s8(pulses + q * 64 + quarter * 16, own[q]);
          squares[quarter] = dot<Quads>(own, own);
        });
        Floats own_factors[parts];
        factors.read(tags, squares, own_factors);
        for (size_t p = 0; p < parts; ++p) {
          store_floats(panel.factors[row] + b * block_groups + p * part_groups, own_factors[p]);
        }
      }
    }
    multiply_panel(panel, count, blocks, tokens.from_block(begin, Quads), lanes);
  }
}

template <int Quads, bool Words>
void accumulate_token(const ExpandedRows& rows, size_t first, size_t count, const int8_t* values, float* lanes) {
  const uint8x16x2_t first_bits = first_word_bits();
  const TagFactors<Quads, Words> factors(rows);
  for (size_t row = 0; row < count; ++row, lanes += block_groups) {
    BlockCursor<Quads, Words> cursor(rows, first + row);
    LaneSums sums(lanes);
    const int8_t* x = values;
    for (size_t b = 0; b < rows.blocks; ++b, x += Quads * 64) {
      const uint8_t* tags = cursor.tags();
      Sums dots[parts], squares[parts];
      cursor.read(rows, b, first_bits, [&](size_t quarter, const Pulses<Quads>& own) {
        Pulses<Quads> inputs;
        for (int q = 0; q < Quads; ++q) inputs[q] = vld1q_s8(x + q * 64 + quarter * 16);
        dots[quarter] = dot<Quads>(own, inputs);
        squares[quarter] = dot<Quads>(own, own);
      });
      Floats own_factors[parts];
      factors.read(tags, squares, own_factors);
      sums.add(dots, own_factors);
    }
    sums.store(lanes);
  }
}

void accumulate(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  with_shape(rows, [&](auto shape) {
    using Shape = decltype(shape);
    if (tokens.count == 1) {
      return accumulate_token<Shape::quads, Shape::words>(rows, first, count, tokens.values, lanes);
    }
    constexpr size_t height = Panel<Shape::quads>::max_rows;
    for (size_t row = 0; row < count; row += height, lanes += height * tokens.count * block_groups) {
      accumulate_rows<Shape::quads, Shape::words>(rows, first + row, count - row < height ? count - row : height,
                                                  tokens, lanes);
    }
  });
}

}  // namespace
}  // namespace pyramidion
