// Panels of rows (core/pvq/row_panel.h) with AVX-512: how expanded rows are brought into that form.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/aligned_buffer.h"
#include "core/pvq/row_panel.h"
#include "cpu/expanded_product/avx512_blocks.h"

namespace pyramidion {
namespace {

// square[i] lane j to square[j] lane i, in place: pairs of rows first, in the quarters of each, then the quarters.
inline void transpose(__m512i (&square)[16]) {
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 4) {
    const __m512i low0 = _mm512_unpacklo_epi32(square[i], square[i + 1]);
    const __m512i high0 = _mm512_unpackhi_epi32(square[i], square[i + 1]);
    const __m512i low2 = _mm512_unpacklo_epi32(square[i + 2], square[i + 3]);
    const __m512i high2 = _mm512_unpackhi_epi32(square[i + 2], square[i + 3]);
    square[i] = _mm512_unpacklo_epi64(low0, low2);
    square[i + 1] = _mm512_unpackhi_epi64(low0, low2);
    square[i + 2] = _mm512_unpacklo_epi64(high0, high2);
    square[i + 3] = _mm512_unpackhi_epi64(high0, high2);
  }
  // Row 4 i + j now has lanes j, 4 + j, 8 + j and 12 + j of rows 4 i to 4 i + 3.
#pragma GCC unroll 8
  for (int j = 0; j < 4; ++j) {
    const __m512i even0 = _mm512_shuffle_i32x4(square[j], square[4 + j], 0x88);
    const __m512i odd0 = _mm512_shuffle_i32x4(square[j], square[4 + j], 0xdd);
    const __m512i even8 = _mm512_shuffle_i32x4(square[8 + j], square[12 + j], 0x88);
    const __m512i odd8 = _mm512_shuffle_i32x4(square[8 + j], square[12 + j], 0xdd);
    square[j] = _mm512_shuffle_i32x4(even0, even8, 0x88);
    square[4 + j] = _mm512_shuffle_i32x4(odd0, odd8, 0x88);
    square[8 + j] = _mm512_shuffle_i32x4(even0, even8, 0xdd);
    square[12 + j] = _mm512_shuffle_i32x4(odd0, odd8, 0xdd);
  }
}

// Up to 16 rows into one half of a panel's part. mask: what the bytes of p + 128 are exclusive-ored with. Rows are read
// one after the other, some blocks at a time, as they lie in memory: side by side each would start anew for the
// prefetchers.
template <int Quads, bool Words>
void fill_half(const ExpandedRows& rows, size_t first, size_t count, size_t groups, uint8_t mask, uint8_t* half) {
  constexpr size_t vectors = Quads + 1, bytes = panel_half_bytes(Quads), most_blocks = 16,
                   row_bytes = most_blocks * bytes;
  const FactorReader factors(*rows.factors);
  BlockCursor<Quads, Words> cursors[panel_half];
  for (size_t row = 0; row < count; ++row) cursors[row] = BlockCursor<Quads, Words>(rows, first + row);
  AlignedBuffer<uint8_t> expanded(panel_half * row_bytes);
  // What rows that are not there keep: pulses of 0.
  for (size_t row = count; row < panel_half; ++row) {
    for (size_t b = 0; b < most_blocks; ++b) {
      uint8_t* block = expanded.data() + row * row_bytes + b * bytes;
      std::memset(block, 128, Quads * 64);
      std::memset(block + Quads * 64, 0, 64);
    }
  }
  const __m512i masks = _mm512_set1_epi8(static_cast<char>(mask));
  for (size_t begin = 0; begin < rows.blocks; begin += most_blocks) {
    const size_t end = std::min(begin + most_blocks, rows.blocks);
    for (size_t row = 0; row < count; ++row) {
      BlockCursor<Quads, Words> cursor = cursors[row];
      for (size_t b = begin; b < end; ++b) {
        expand_block(rows, factors, cursor, b, expanded.data() + row * row_bytes + (b - begin) * bytes);
      }
      cursors[row] = cursor;
    }
    for (size_t b = begin; b < end; ++b) {
      const uint8_t* block = expanded.data() + (b - begin) * bytes;
      const size_t lanes = std::min(block_groups, groups - b * block_groups);
      for (size_t v = 0; v < vectors; ++v) {
        __m512i square[panel_half];
#pragma GCC unroll 16
        for (size_t row = 0; row < panel_half; ++row) square[row] = _mm512_load_si512(block + row * row_bytes + v * 64);
        transpose(square);
        const __m512i own_mask = v < Quads ? masks : _mm512_setzero_si512();
#pragma GCC unroll 16
        for (size_t lane = 0; lane < panel_half; ++lane) {
          if (lane >= lanes) break;
          const size_t group = groups_before_lane(groups, lane) + b;
          _mm512_store_si512(half + group * 2 * bytes + v * 64, _mm512_xor_si512(square[lane], own_mask));
        }
      }
    }
  }
}

// Rows [first, first + count), of `groups` groups each, into a part.
template <int Quads, bool Words>
void fill_panel(const ExpandedRows& rows, size_t groups, size_t first, size_t count, uint8_t mask, uint8_t* part) {
  const size_t upper = std::min(count, panel_half);
  fill_half<Quads, Words>(rows, first, upper, groups, mask, part);
  fill_half<Quads, Words>(rows, first + upper, count - upper, groups, mask, part + panel_half_bytes(Quads));
}

}  // namespace
}  // namespace pyramidion
