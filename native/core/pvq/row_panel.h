// Rows in the form in which products with many tokens read them: 32 rows (a panel), the same group of 16 of them side
// by side, a row in each lane.
//
// Of a segment, groups follow each other in the order of their lanes (integer_tokens.h): those of lane 0, block by
// block, then those of lane 1. A group holds the first 16 rows, then the other 16: its quads, 16 rows x 4 pulses each,
// and the factors of the rows' groups. Whether pulses are kept as they are or as p + 128 is the kernel's choice. Rows
// that are not there have no pulses and the factor 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace pyramidion {

constexpr size_t panel_rows = 32;
constexpr size_t panel_half = panel_rows / 2;

static inline constexpr size_t panel_half_bytes(size_t quads) { return (quads + 1) * 64; }
static inline constexpr size_t panel_group_bytes(size_t quads) { return 2 * panel_half_bytes(quads); }

// Of `groups` groups dealt out to 16 lanes in turn, how many lie before the first of a lane when they stand lane by
// lane.
static inline size_t groups_before_lane(size_t groups, size_t lane) {
  return groups / 16 * lane + std::min(groups % 16, lane);
}

// A segment of a panel.
struct PanelPart {
  size_t quads, groups;
  // 64-byte aligned: groups x panel_group_bytes(quads).
  const uint8_t* bytes;
};

// A segment of tokens, groups in the same order.
struct PanelTokens {
  // groups x quads x 4, tokens value_stride apart.
  const int8_t* values;
  size_t value_stride;
  // One a group: -128 times the sum of its inputs; products with p + 128 begin with it.
  const int32_t* corrections;
  size_t correction_stride;

  PanelTokens from(size_t token) const {
    return {values + token * value_stride, value_stride, corrections + token * correction_stride, correction_stride};
  }
};

}  // namespace pyramidion
