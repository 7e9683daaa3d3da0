// The point at an index of the tree order, for the portable decoder: the tree is walked from the top, each node with a
// binary search and a division, down to four dimensions, where a table holds the points, or to two, where a closed form
// does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/pvq/pyramid_tables.h"

namespace pyramidion {
namespace {

// Points of P(2,k) in tree order: one with j = 0 for each sign of the right, four for each 0 < j < k, two with j = k.
// So index + 2 is 4 j and two sign bits, of which the left one is the lower when there is nothing on the right.
template <class Pulse>
void decode_pair(int k, uint64_t index, Pulse* p) {
  const uint64_t shifted = index + 2;
  const int j = static_cast<int>(shifted / 4), right = k - j;
  const bool left_negative = right == 0 ? shifted % 2 != 0 : shifted / 2 % 2 != 0;
  p[0] = static_cast<Pulse>(left_negative ? -j : j);
  p[1] = static_cast<Pulse>(shifted % 2 != 0 ? -right : right);
}

// value / divisor and what remains, by a reciprocal as in TreeLevel: right, or one too small and then corrected.
uint64_t divide(uint64_t value, uint64_t divisor, double reciprocal, uint64_t* rest) {
  const uint64_t quotient = static_cast<uint64_t>(static_cast<double>(value) * reciprocal);
  const uint64_t remainder = value - quotient * divisor;
  const bool low = remainder >= divisor;
  *rest = low ? remainder - divisor : remainder;
  return low ? quotient + 1 : quotient;
}

template <int D, class Pulse>
void decode_point(const PyramidTables& tables, int k, uint64_t index, Pulse* p) {
  const PyramidCounts& counts = tables.counts;
  if constexpr (D == 2) {
    decode_pair(k, index, p);
  } else if (D == 4 && k <= QuadTable::max_pulses) {
    const uint32_t packed = tables.quads->points()[tables.quads->base[k] + index];
    int8_t bytes[4];
    std::memcpy(bytes, &packed, sizeof(bytes));
    std::copy_n(bytes, 4, p);
  } else if constexpr (D == 4) {
    const int j = counts.left_pulses(4, k, index);
    const uint64_t rest = index - counts.offset(4, k, j), right = counts.count(2, k - j);
    decode_pair(j, rest / right, p);
    decode_pair(k - j, rest % right, p + 2);
  } else {
    const TreeLevel& level = tables.level(D);
    const uint64_t* row = level.offsets.data();
    if (D < counts.dimension()) row += static_cast<size_t>(k) << level.row_shift;
    int j = 0;
    for (int step = 1 << (level.row_shift - 1); step > 0; step /= 2) j += row[j + step] <= index ? step : 0;
    uint64_t right;
    const uint64_t left = divide(index - row[j], level.half_counts[k - j], level.half_reciprocals[k - j], &right);
    decode_point<D / 2>(tables, j, left, p);
    decode_point<D / 2>(tables, k - j, right, p + D / 2);
  }
}

}  // namespace
}  // namespace pyramidion
