// The shapes of expanded rows that kernels are compiled for.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/pvq/expanded_rows.h"

namespace pyramidion {
namespace {

template <int Quads, bool Words>
struct ExpandedShape {
  static constexpr int quads = Quads;
  static constexpr bool words = Words;
};

// run(ExpandedShape) for the shape that the rows have.
template <class Run>
void with_shape(const ExpandedRows& rows, const Run& run) {
  if (rows.words) return run(ExpandedShape<4, true>());
  switch (rows.quads) {
    case 1:
      return run(ExpandedShape<1, false>());
    case 2:
      return run(ExpandedShape<2, false>());
    case 4:
      return run(ExpandedShape<4, false>());
    default:
      return run(ExpandedShape<8, false>());
  }
}

inline bool has_factor_table(const ExpandedRows& rows) { return !rows.factors->values.empty(); }

}  // namespace
}  // namespace pyramidion
