#include "core/pvq/pyramid_tables.h"

namespace pyramidion {

PyramidTables::PyramidTables(int dimension, int pulses, std::shared_ptr<const QuadTable> quad_table)
    : counts(dimension, pulses), quads(std::move(quad_table)) {
  for (int d = 8; d <= dimension; d *= 2) {
    TreeLevel& level = levels_[d == 8 ? 0 : d == 16 ? 1 : 2];
    level = TreeLevel(
        d == dimension ? TreeLevel::Nodes::root : TreeLevel::Nodes::all, pulses,
        [&](int k, int j) { return counts.offset(d, k, j); }, [&](int k) { return counts.count(d / 2, k); });
    if (pulses < 64 && (d == 8 || d == dimension)) {
      level.keep_leading_bits(d == dimension ? counts.count() : counts.count(d, pulses));
    }
  }
}

}  // namespace pyramidion
