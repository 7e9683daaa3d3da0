// What coding and decoding of one pyramid P(D,K) look up.
#pragma once

#include <memory>

#include "core/pvq/pyramid_counts.h"
#include "core/pvq/quad_table.h"
#include "core/pvq/tree_level.h"

namespace pyramidion {

struct PyramidTables {
  PyramidTables(int dimension, int pulses, std::shared_ptr<const QuadTable> quads);

  PyramidCounts counts;
  std::shared_ptr<const QuadTable> quads;

  // The tree nodes of dimension d = 8, 16 or 32, at most D; with leading bits for d = 8 and d = D where K <= 63.
  const TreeLevel& level(int d) const { return levels_[d == 8 ? 0 : d == 16 ? 1 : 2]; }

 private:
  TreeLevel levels_[3];
};

}  // namespace pyramidion
