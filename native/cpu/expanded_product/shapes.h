// The shapes of expanded rows that kernels are compiled for, and numbers of rows or tokens.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <type_traits>

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

// run(begin, its number) for Most at a time, then for one.
template <int Most, class Run>
inline void in_groups(size_t count, const Run& run) {
  size_t i = 0;
  for (; i + Most <= count; i += Most) run(i, std::integral_constant<int, Most>());
  for (; i < count; ++i) run(i, std::integral_constant<int, 1>());
}

inline bool has_factor_table(const ExpandedRows& rows) { return !rows.factors->values.empty(); }

}  // namespace
}  // namespace pyramidion
