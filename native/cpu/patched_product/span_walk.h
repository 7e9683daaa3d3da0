// Rows span by span: what all forms of the product have in common.
#pragma once

#include "core/pvq/patched_rows.h"

namespace pyramidion {
namespace {

// unpack(fields of a block, its 256 bytes of the span) for the blocks of a span, whose bytes then are pulses (+ 32
// where Pulse is uint8_t), then use(block, its fields, its bytes) for each.
template <class Pulse = int8_t, class Unpack, class Use>
inline void walk_spans(const PatchedRows& rows, size_t row, const Unpack& unpack, const Use& use) {
  constexpr size_t block_pulses = PatchedRows::quads * 64;
  alignas(64) Pulse span[PatchedRows::span_pulses];
  const uint8_t *fields = rows.row_fields(row), *patches = rows.row_patches(row);
  for (size_t first = 0; first < rows.blocks; first += PatchedRows::span_blocks) {
    const size_t count = std::min(PatchedRows::span_blocks, rows.blocks - first);
    for (size_t b = 0; b < count; ++b) unpack(fields + b * PatchedRows::block_bytes, span + b * block_pulses);
    patches = patch_span(patches, span);
    for (size_t b = 0; b < count; ++b, fields += PatchedRows::block_bytes) {
      use(first + b, fields, span + b * block_pulses);
    }
  }
}

}  // namespace
}  // namespace pyramidion
