// Products with many tokens: a panel of rows, some blocks long, is brought once into the form that products read and
// stays in the first-level cache while all tokens pass by. Tiles of rows and tokens keep their sums in registers.
//
// A panel's rows come in tiles; a tile holds, block by block and row by row, the pulses of all quads as p + 128 and the
// groups' factors: (Quads + 1) x 64 bytes.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "cpu/expanded_product/avx512_blocks.h"

namespace pyramidion {
namespace {

template <int Quads>
struct PanelShape {
  static constexpr size_t rows = 16;
  // 2048 columns and fewer for small groups: their factors take as much room as their pulses.
  static constexpr size_t blocks = 32 / Quads;
  // What 32 registers hold of sums beside a token's inputs.
  static constexpr int tile_rows = Quads <= 4 ? 4 : 2;
  static constexpr int tile_tokens = 4;
  static constexpr size_t row_bytes = (Quads + 1) * 64;
};

// Block b of a row to its place in a tile.
template <int Quads, bool Words>
inline void expand_block(const ExpandedRows& rows, const FactorReader& factors, BlockCursor<Quads, Words>& cursor,
                         size_t b, uint8_t* to) {
  cursor.next(rows, factors, b, [to](const Pulses<Quads>& block, __m512 factor, auto offset) {
    const __m512i more = _mm512_set1_epi8(static_cast<char>(128 - (1 << offset)));
    for (int q = 0; q < Quads; ++q) _mm512_store_si512(to + q * 64, _mm512_add_epi8(block.u[q], more));
    _mm512_store_ps(to + Quads * 64, factor);
  });
}

// `blocks` blocks of a tile of rows with the first Tokens tokens; lanes of a row are row_lanes apart.
template <int Quads, int Rows, int Tokens>
void multiply_tile(const uint8_t* tile, size_t blocks, const SegmentTokens& tokens, float* lanes, size_t row_lanes) {
  __m512 sums[Rows][Tokens];
  for (int r = 0; r < Rows; ++r) {
    for (int t = 0; t < Tokens; ++t) {
      sums[r][t] = _mm512_loadu_ps(lanes + static_cast<size_t>(r) * row_lanes + static_cast<size_t>(t) * block_groups);
    }
  }
  for (size_t b = 0; b < blocks; ++b, tile += Rows * PanelShape<Quads>::row_bytes) {
    __m512i pulses[Rows][Quads];
    __m512 factors[Rows];
    for (int r = 0; r < Rows; ++r) {
      const uint8_t* row = tile + static_cast<size_t>(r) * PanelShape<Quads>::row_bytes;
      for (int q = 0; q < Quads; ++q) pulses[r][q] = _mm512_load_si512(row + q * 64);
      factors[r] = _mm512_load_ps(row + Quads * 64);
    }
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      const int8_t* x = tokens.values + static_cast<size_t>(t) * tokens.value_stride + b * Quads * 64;
      const int32_t* corrections = tokens.corrections + static_cast<size_t>(t) * tokens.correction_stride;
      const __m512i correction = _mm512_slli_epi32(_mm512_load_si512(corrections + b * block_groups), 4);
      for (int r = 0; r < Rows; ++r) {
        __m512i dot = correction;
        for (int q = 0; q < Quads; ++q) dot = _mm512_dpbusd_epi32(dot, pulses[r][q], _mm512_load_si512(x + q * 64));
        sums[r][t] = _mm512_add_ps(sums[r][t], _mm512_mul_ps(_mm512_cvtepi32_ps(dot), factors[r]));
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int t = 0; t < Tokens; ++t) {
      _mm512_storeu_ps(lanes + static_cast<size_t>(r) * row_lanes + static_cast<size_t>(t) * block_groups, sums[r][t]);
    }
  }
}

// A chunk of a panel, whole tiles and then single rows, with the first Tokens tokens.
template <int Quads, int Tokens>
inline void multiply_rows(const uint8_t* panel, size_t count, size_t blocks, const SegmentTokens& tokens, float* lanes,
                          size_t row_lanes) {
  using Shape = PanelShape<Quads>;
  size_t row = 0;
  for (; row + Shape::tile_rows <= count; row += Shape::tile_rows) {
    multiply_tile<Quads, Shape::tile_rows, Tokens>(panel + row * blocks * Shape::row_bytes, blocks, tokens,
                                                   lanes + row * row_lanes, row_lanes);
  }
  for (; row < count; ++row) {
    multiply_tile<Quads, 1, Tokens>(panel + row * blocks * Shape::row_bytes, blocks, tokens, lanes + row * row_lanes,
                                    row_lanes);
  }
}

// All tokens, as many at a time as Tokens, then half of that and so on.
template <int Quads, int Tokens>
void multiply_panel(const uint8_t* panel, size_t count, size_t blocks, const SegmentTokens& tokens, float* lanes,
                    size_t row_lanes) {
  size_t t = 0;
  for (; t + Tokens <= tokens.count; t += Tokens) {
    multiply_rows<Quads, Tokens>(panel, count, blocks, tokens.slice(t, Tokens), lanes + t * block_groups, row_lanes);
  }
  if constexpr (Tokens > 1) {
    multiply_panel<Quads, Tokens / 2>(panel, count, blocks, tokens.slice(t, tokens.count - t), lanes + t * block_groups,
                                      row_lanes);
  }
}

// Up to PanelShape::rows rows with all tokens; lanes of a row are row_lanes apart.
template <int Quads, bool Words>
void accumulate_panel(const ExpandedRows& rows, size_t first, size_t count, const FactorReader& factors,
                      const SegmentTokens& tokens, float* lanes, size_t row_lanes) {
  using Shape = PanelShape<Quads>;
  std::vector<BlockCursor<Quads, Words>> cursors;
  for (size_t row = first; row < first + count; ++row) cursors.emplace_back(rows, row);
  const size_t in_tiles = count / Shape::tile_rows * Shape::tile_rows;
  alignas(64) uint8_t panel[Shape::rows * Shape::blocks * Shape::row_bytes];
  for (size_t begin = 0; begin < rows.blocks; begin += Shape::blocks) {
    const size_t blocks = std::min(Shape::blocks, rows.blocks - begin);
    for (size_t row = 0; row < count; ++row) {
      const size_t height = row < in_tiles ? Shape::tile_rows : 1, in_tile = row % height;
      uint8_t* to = panel + ((row - in_tile) * blocks + in_tile) * Shape::row_bytes;
      for (size_t b = 0; b < blocks; ++b, to += height * Shape::row_bytes) {
        expand_block(rows, factors, cursors[row], begin + b, to);
      }
    }
    multiply_panel<Quads, Shape::tile_tokens>(panel, count, blocks, tokens.from_block(begin, Quads), lanes, row_lanes);
  }
}

}  // namespace
}  // namespace pyramidion
