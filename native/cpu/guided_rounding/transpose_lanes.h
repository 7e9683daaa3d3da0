// The transpose of `lanes` vectors.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include <utility>

#include "cpu/pvq_search/pulse_lanes.h"

namespace pyramidion {
namespace {

// Of every two blocks of span x span on the diagonal, the two beside it change places: lane i of `low` is that of row
// r, i of `high` that of row r + span.
template <int span, int... lane>
void exchange_blocks(Floats& low, Floats& high, std::integer_sequence<int, lane...>) {
  const Floats above = low, below = high;
  low = __builtin_shufflevector(above, below, ((lane & span) != 0 ? lanes + lane - span : lane)...);
  high = __builtin_shufflevector(above, below, ((lane & span) != 0 ? lanes + lane : lane + span)...);
}

template <int span>
void transpose_blocks(Floats* rows) {
  for (int row = 0; row < lanes; ++row) {
    if ((row & span) == 0) {
      exchange_blocks<span>(rows[row], rows[row + span], std::make_integer_sequence<int, lanes>());
    }
  }
  if constexpr (span > 1) transpose_blocks<span / 2>(rows);
}

inline void transpose(Floats* rows) { transpose_blocks<lanes / 2>(rows); }

}  // namespace
}  // namespace pyramidion
