#include "core/pvq/quad_table.h"

#include "core/pvq/pyramid_counts.h"

namespace pyramidion {

QuadTable::QuadTable() {
  for (int k = 0; k <= max_pulses; ++k) {
    const PyramidCounts pyramid(4, k);
    base_[k] = static_cast<uint32_t>(points_.size());
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
