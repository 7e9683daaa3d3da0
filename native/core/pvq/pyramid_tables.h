// What coding and decoding of one pyramid P(D,K) look up.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/pvq/pyramid_counts.h"
#include "core/pvq/quad_table.h"

namespace pyramidion {

struct PyramidTables {
  PyramidTables(int dimension, int pulses, std::shared_ptr<const QuadTable> quads);

  PyramidCounts counts;
  std::shared_ptr<const QuadTable> quads;

  // The tree nodes of one dimension d >= 8 as arrays, for kernels that walk many trees at once.
  struct Level {
    // A row k has 2^row_shift > K entries: offset(d,k,j) for j <= k, then 2^64 - 1. For d = D there is only the row
    // k = K, below D one for each k = 0..K.
    int row_shift = 0;
    std::vector<uint64_t> offsets;
    // N(d/2,k) for k = 0..2^row_shift - 1, zero beyond K; and 1 / N(d/2,k) rounded down enough that a product with it
    // is never above the true quotient.
    std::vector<uint64_t> half_counts;
    std::vector<double> half_reciprocals;
    // For searches in registers, when K <= 63: offsets / 2^coarse_shift, below 2^31, and 2^32 - 1 beyond j = k. For d =
    // D coarse[j], 64 of them; for d = 8 < D coarse[W j + k] with W = 32 for K <= 31, 64 above. No shift for d = 8 and
    // K <= 31.
    int coarse_shift = 0;
    std::vector<uint32_t> coarse;
  };
  // d = 8, 16 or 32, at most D.
  const Level& level(int d) const { return levels_[d == 8 ? 0 : d == 16 ? 1 : 2]; }

 private:
  Level levels_[3];
};

}  // namespace pyramidion
