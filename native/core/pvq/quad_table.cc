#include "core/pvq/quad_table.h"

#include "core/pvq/pyramid_counts.h"

namespace pyramidion {

QuadTable QuadTable::pyramids() {
  Pairs pairs;
  for (int k = 0; k <= max_pulses; ++k) {
    const PyramidCounts pyramid(2, k);
    for (uint64_t index = 0; index < pyramid.count(); ++index) {
      int16_t point[2];
      pyramid.point_of(index, point);
      pairs[k].push_back(static_cast<uint8_t>(point[0]) | static_cast<uint32_t>(static_cast<uint8_t>(point[1])) << 8);
    }
  }
  return QuadTable(pairs);
}

QuadTable QuadTable::odd_magnitudes() {
  Pairs pairs;
  for (int k = 0; k <= max_pulses; ++k) {
    for (int j = 0; j <= k; ++j) pairs[k].push_back(static_cast<uint32_t>((2 * j + 1) | (2 * (k - j) + 1) << 8));
  }
  return QuadTable(pairs);
}

QuadTable::QuadTable(const Pairs& pairs) {
  for (int k = 0; k <= max_pulses; ++k) {
    base[k] = static_cast<uint32_t>(points_.size());
    for (int j = 0; j <= k; ++j) {
      for (uint32_t left : pairs[j]) {
        for (uint32_t right : pairs[k - j]) points_.push_back(left | right << 16);
      }
    }
    counts[k] = static_cast<uint32_t>(points_.size()) - base[k];
    // 2^-21 outweighs the three roundings of such a quotient.
    reciprocals[k] = (1 - 0x1p-21f) / static_cast<float>(counts[k]);
  }
}

}  // namespace pyramidion
