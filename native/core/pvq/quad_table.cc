#include "core/pvq/quad_table.h"

#include "core/pvq/pyramid_counts.h"

namespace pyramidion {

QuadTable::QuadTable() {
  for (int k = 0; k <= max_pulses; ++k) {
    const PyramidCounts pyramid(4, k);
    base[k] = static_cast<uint32_t>(points_.size());
    counts[k] = static_cast<uint32_t>(pyramid.count());
    // 2^-21 outweighs the three roundings of such a quotient.
    reciprocals[k] = (1 - 0x1p-21f) / static_cast<float>(counts[k]);
    for (uint64_t index = 0; index < pyramid.count(); ++index) {
      int16_t point[4];
      pyramid.point_of(index, point);
      uint32_t packed = 0;
      for (int i = 0; i < 4; ++i) packed |= static_cast<uint32_t>(static_cast<uint8_t>(point[i])) << (8 * i);
      points_.push_back(packed);
    }
  }
}

}  // namespace pyramidion
