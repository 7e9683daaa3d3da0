// Panels of rows (core/pvq/row_panel.h) with AVX-512: how expanded rows are brought into that form.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <vector>

#include "core/pvq/row_panel.h"
#include "cpu/expanded_product/avx512_blocks.h"
#include "cpu/transpose_lanes.h"

namespace pyramidion {
namespace {

typedef int32_t PanelWords __attribute__((vector_size(64)));

// Up to 16 rows into one half of a panel's part. mask: what the bytes of p + 128 are exclusive-ored with.
template <int Quads, bool Words>
void fill_half(const ExpandedRows& rows, size_t first, size_t count, size_t groups, uint8_t mask, uint8_t* half) {
  constexpr size_t vectors = Quads + 1, bytes = panel_half_bytes(Quads);
  const FactorReader factors(*rows.factors);
  BlockCursor<Quads, Words> cursors[panel_half];
  for (size_t row = 0; row < count; ++row) cursors[row] = BlockCursor<Quads, Words>(rows, first + row);
  alignas(64) uint8_t block[panel_half][bytes];
  // What rows that are not there keep: pulses of 0.
  for (size_t row = count; row < panel_half; ++row) {
    std::memset(block[row], 128, Quads * 64);
    std::memset(block[row] + Quads * 64, 0, 64);
  }
  const __m512i masks = _mm512_set1_epi8(static_cast<char>(mask));
  for (size_t b = 0; b < rows.blocks; ++b) {
    for (size_t row = 0; row < count; ++row) expand_block(rows, factors, cursors[row], b, block[row]);
    for (size_t v = 0; v < vectors; ++v) {
      PanelWords square[panel_half];
      for (size_t row = 0; row < panel_half; ++row) {
        const __m512i words = _mm512_load_si512(block[row] + v * 64);
        square[row] = reinterpret_cast<PanelWords>(v < Quads ? _mm512_xor_si512(words, masks) : words);
      }
      lanes_to_groups<panel_half>(square);
      for (size_t lane = 0; lane < std::min(block_groups, groups - b * block_groups); ++lane) {
        const size_t group = groups_before_lane(groups, lane) + b;
        _mm512_store_si512(half + group * 2 * bytes + v * 64, reinterpret_cast<__m512i>(square[lane]));
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
