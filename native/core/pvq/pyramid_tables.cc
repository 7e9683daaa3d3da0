#include "core/pvq/pyramid_tables.h"

#include <limits>

namespace pyramidion {
namespace {

// What no index reaches.
constexpr uint64_t no_offset = std::numeric_limits<uint64_t>::max();
constexpr uint32_t no_offset32 = std::numeric_limits<uint32_t>::max();

}  // namespace

PyramidTables::PyramidTables(int dimension, int pulses, std::shared_ptr<const QuadTable> quad_table)
    : counts(dimension, pulses), quads(std::move(quad_table)) {
  for (int d = 8; d <= dimension; d *= 2) {
    Level& level = levels_[d == 8 ? 0 : d == 16 ? 1 : 2];
    while ((1 << level.row_shift) <= pulses) ++level.row_shift;
    const int width = 1 << level.row_shift;
    for (int k = d == dimension ? pulses : 0; k <= pulses; ++k) {
      for (int j = 0; j < width; ++j) {
        level.offsets.push_back(j <= k ? counts.offset(d, k, j) : no_offset);
      }
    }
    if (pulses < 64 && (d == 8 || d == dimension)) {
      const uint64_t largest = d == dimension ? counts.count() : counts.count(d, pulses);
      while ((largest - 1) >> level.coarse_shift >= uint64_t{1} << 31) ++level.coarse_shift;
      const int places = pulses < 32 && d < dimension ? 32 : 64;
      for (int j = 0; j < places; ++j) {
        for (int k = d == dimension ? pulses : 0; k < (d == dimension ? pulses + 1 : places); ++k) {
          const bool inside = k <= pulses && j <= k;
          level.coarse.push_back(inside ? static_cast<uint32_t>(counts.offset(d, k, j) >> level.coarse_shift)
                                        : no_offset32);
        }
      }
    }
    for (int k = 0; k < width; ++k) {
      const uint64_t count = k <= pulses ? counts.count(d / 2, k) : 0;
      level.half_counts.push_back(count);
      // 2^-50 outweighs the three roundings of a quotient: of its argument, of this reciprocal and of their product.
      level.half_reciprocals.push_back(count == 0 ? 0 : (1 - 0x1p-50) / static_cast<double>(count));
    }
  }
}

}  // namespace pyramidion
