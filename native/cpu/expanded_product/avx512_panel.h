// Products with many tokens: a panel of rows, some blocks long, is brought once into the form that products read and
// stays in the first caches while all tokens pass by, a tile of rows and tokens at a time. The dot products of a tile's
// block run side by side, so that none waits for itself (vpdpbusd has a latency of five cycles, and two begin in each);
// they take up the registers, and the sums stay in the first-level cache, a load and a store for each block.
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
  // What 32 registers hold of dot products beside a quad of each row.
  static constexpr size_t tile_rows = 4;
  static constexpr size_t tile_tokens = Quads < 4 ? 4 : 5;
  static constexpr size_t row_bytes = expanded_block_bytes<Quads>;
};

// `blocks` blocks of a tile of rows with the first Tokens tokens; lanes of a row are row_lanes apart.
template <int Quads, size_t Rows, size_t Tokens>
void multiply_tile(const uint8_t* tile, size_t blocks, const SegmentTokens& tokens, float* lanes, size_t row_lanes) {
  constexpr size_t row_bytes = PanelShape<Quads>::row_bytes;
  alignas(64) float sums[Rows][Tokens][block_groups];
  for (size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (size_t t = 0; t < Tokens; ++t) {
      _mm512_store_ps(sums[r][t], _mm512_loadu_ps(lanes + r * row_lanes + t * block_groups));
    }
  }
  for (size_t b = 0; b < blocks; ++b, tile += Rows * row_bytes) {
    // Keeps the sums in memory, where the compiler would otherwise take registers away from the dot products.
    __asm__ volatile("" ::: "memory");
    const int8_t* x = tokens.values + b * Quads * 64;
    const int32_t* corrections = tokens.corrections + b * block_groups;
    __m512i dots[Rows][Tokens];
#pragma GCC unroll 8
    for (size_t t = 0; t < Tokens; ++t) {
      const __m512i correction = _mm512_slli_epi32(_mm512_load_si512(corrections + t * tokens.correction_stride), 4);
#pragma GCC unroll 8
      for (size_t r = 0; r < Rows; ++r) dots[r][t] = correction;
    }
#pragma GCC unroll 8
    for (size_t q = 0; q < Quads; ++q) {
      __m512i pulses[Rows];
#pragma GCC unroll 8
      for (size_t r = 0; r < Rows; ++r) pulses[r] = _mm512_load_si512(tile + r * row_bytes + q * 64);
#pragma GCC unroll 8
      for (size_t t = 0; t < Tokens; ++t) {
        const __m512i inputs = _mm512_load_si512(x + t * tokens.value_stride + q * 64);
#pragma GCC unroll 8
        for (size_t r = 0; r < Rows; ++r) dots[r][t] = _mm512_dpbusd_epi32(dots[r][t], pulses[r], inputs);
      }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < Rows; ++r) {
      const __m512 factor = _mm512_load_ps(tile + r * row_bytes + Quads * 64);
#pragma GCC unroll 8
      for (size_t t = 0; t < Tokens; ++t) {
        const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[r][t]), factor);
        _mm512_store_ps(sums[r][t], _mm512_add_ps(_mm512_load_ps(sums[r][t]), product));
      }
    }
  }
  for (size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (size_t t = 0; t < Tokens; ++t) {
      _mm512_storeu_ps(lanes + r * row_lanes + t * block_groups, _mm512_load_ps(sums[r][t]));
    }
  }
}

// A chunk of a panel, whole tiles and then single rows, with the first Tokens tokens.
template <int Quads, size_t Tokens>
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

// All tokens, as many at a time as Tokens, then what is left.
template <int Quads, size_t Tokens>
void multiply_panel(const uint8_t* panel, size_t count, size_t blocks, const SegmentTokens& tokens, float* lanes,
                    size_t row_lanes) {
  size_t t = 0;
  for (; t + Tokens <= tokens.count; t += Tokens) {
    multiply_rows<Quads, Tokens>(panel, count, blocks, tokens.slice(t, Tokens), lanes + t * block_groups, row_lanes);
  }
  if constexpr (Tokens > 1) {
    multiply_panel<Quads, Tokens - 1>(panel, count, blocks, tokens.slice(t, tokens.count - t), lanes + t * block_groups,
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
