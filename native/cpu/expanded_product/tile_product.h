// Products of expanded rows with many tokens by a matrix unit, which multiplies tiles: for one group at a time, 16 rows
// with 16 tokens, over the group's coordinates. The products are those of core/pvq/integer_tokens.h, bit for bit: a
// tile of integers, times the factor of each row's group, is added to the sums of the group's lane.
//
// Unit says what the multiplication is done with:
//   Unit(depth)                       for groups of `depth` bytes, 8 to 32
//   unit.products(a, b, count, c)     count (1 or 2) products one behind the other, c[r][t] = sum_i a[r][i] b[i][t];
//                                     a: 16 rows x depth, b: depth / 4 quads x 16 tokens x 4, c: 16 x 16 int32
//   Unit::Cursor<Quads, Words>(rows, row).next(pulses, factors)
//                                     the next block of a row: quads x 16 x 4 pulses, 16 factors
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <cstring>

#include "core/aligned_buffer.h"
#include "core/pvq/expanded_rows.h"
#include "core/pvq/token_tiles.h"

namespace pyramidion {
namespace {

constexpr size_t tile_rows = 16;

typedef float TileFloats __attribute__((vector_size(64)));
typedef int32_t TileIntegers __attribute__((vector_size(64)));

// from[t][lane] to to[lane][t], by four rounds that interleave the upper with the lower half of the vectors.
inline void transpose(const TileFloats (&from)[16], TileFloats (&to)[16]) {
  TileFloats other[16];
  const auto interleave = [](const TileFloats(&in)[16], TileFloats(&out)[16]) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      out[2 * i] = __builtin_shufflevector(in[i], in[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      out[2 * i + 1] =
          __builtin_shufflevector(in[i], in[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
  };
  interleave(from, to);
  interleave(to, other);
  interleave(other, to);
  interleave(to, other);
  for (int i = 0; i < 16; ++i) to[i] = other[i];
}

// 16 rows in the order of the unit: lane by lane and block by block their groups, and their factors.
template <class Unit, int Quads, bool Words>
class TileRows {
 public:
  TileRows(const ExpandedRows& rows, size_t first)
      : blocks_(rows.blocks),
        pulses_(rows.blocks * block_groups * tile_rows * depth),
        factors_(rows.blocks * block_groups * tile_rows) {
    for (size_t row = 0; row < tile_rows; ++row) {
      typename Unit::template Cursor<Quads, Words> cursor(rows, first + row);
      for (size_t b = 0; b < blocks_; ++b) {
        alignas(64) int8_t pulses[Quads * 64];
        alignas(64) float factors[block_groups];
        cursor.next(pulses, factors);
        for (size_t lane = 0; lane < block_groups; ++lane) {
          const size_t group = (lane * blocks_ + b) * tile_rows + row;
          for (size_t q = 0; q < Quads; ++q) {
            std::memcpy(pulses_.data() + group * depth + 4 * q, pulses + q * 64 + lane * 4, 4);
          }
          factors_[group] = factors[lane];
        }
      }
    }
  }

  // Adds the products of a lane with a tile of tokens, as packed, to sums: 16 rows x 16 tokens.
  void accumulate(Unit& unit, size_t lane, const int8_t* tokens, TileFloats (&sums)[tile_rows]) const {
    const size_t first = lane * blocks_;
    const int8_t* a = pulses_.data() + first * tile_rows * depth;
    const float* factors = factors_.data() + first * tile_rows;
    const int8_t* b = tokens + first * tile_tokens * depth;
    alignas(64) int32_t products[2][tile_rows * tile_tokens];
    for (size_t block = 0; block < blocks_; block += 2) {
      const size_t count = blocks_ - block < 2 ? 1 : 2;
      unit.products(a + block * tile_rows * depth, b + block * tile_tokens * depth, count, products[0]);
      for (size_t i = 0; i < count; ++i, factors += tile_rows) {
#pragma GCC unroll 16
        for (size_t row = 0; row < tile_rows; ++row) {
          TileIntegers dots;
          std::memcpy(&dots, products[i] + row * tile_tokens, sizeof(dots));
          sums[row] += __builtin_convertvector(dots, TileFloats) * factors[row];
        }
      }
    }
  }

 private:
  static constexpr size_t depth = Quads * 4;

  size_t blocks_;
  AlignedBuffer<int8_t> pulses_;
  AlignedBuffer<float> factors_;
};

// 16 rows with up to 16 tokens, a tile as packed; lanes of a row are row_lanes apart.
template <class Unit, int Quads, bool Words>
void accumulate_tile(Unit& unit, const TileRows<Unit, Quads, Words>& rows, const int8_t* tile, size_t tokens,
                     float* lanes, size_t row_lanes) {
  TileFloats sums[block_groups][tile_rows], by_token[tile_tokens], by_lane[block_groups];
  for (size_t row = 0; row < tile_rows; ++row) {
    for (size_t t = 0; t < tile_tokens; ++t) {
      by_token[t] = TileFloats{};
      if (t < tokens) std::memcpy(&by_token[t], lanes + row * row_lanes + t * block_groups, sizeof(TileFloats));
    }
    transpose(by_token, by_lane);
    for (size_t lane = 0; lane < block_groups; ++lane) sums[lane][row] = by_lane[lane];
  }
  for (size_t lane = 0; lane < block_groups; ++lane) rows.accumulate(unit, lane, tile, sums[lane]);
  for (size_t row = 0; row < tile_rows; ++row) {
    for (size_t lane = 0; lane < block_groups; ++lane) by_lane[lane] = sums[lane][row];
    transpose(by_lane, by_token);
    for (size_t t = 0; t < tokens; ++t) {
      std::memcpy(lanes + row * row_lanes + t * block_groups, &by_token[t], sizeof(TileFloats));
    }
  }
}

// Rows in sixteens with tokens that come in tiles too. Returns how many rows it did.
template <class Unit, int Quads, bool Words>
size_t accumulate_tiles(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens,
                        float* lanes) {
  Unit unit(Quads * 4);
  size_t row = 0;
  for (; row + tile_rows <= count; row += tile_rows) {
    const TileRows<Unit, Quads, Words> panel(rows, first + row);
    for (size_t t = 0; t < tokens.count; t += tile_tokens) {
      const size_t left = tokens.count - t;
      accumulate_tile(unit, panel, tokens.tiles + t / tile_tokens * tokens.tile_stride,
                      left < tile_tokens ? left : tile_tokens, lanes + (row * tokens.count + t) * block_groups,
                      tokens.count * block_groups);
    }
  }
  return row;
}

}  // namespace
}  // namespace pyramidion
