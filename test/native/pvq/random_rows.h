// Random matrices of PVQ rows for native tests.
#pragma once

#include <algorithm>
#include <vector>

#include "../present_sets.h"
#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"
#include "core/pvq/pvq_code.h"
#include "random.h"

struct StoredRows {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> row_scale;
};

namespace {

using namespace pyramidion;

// One of two indices where one kind of word of the Barnes-Wall lattice ends and the next begins, or one more pulse goes
// to the odd coordinates.
uint64_t barnes_wall_boundary(const BarnesWallTables& tables, Random& random) {
  const BarnesWallIndex& points = tables.index;
  uint64_t index = random.below(2) == 0 ? points.zeros_first() : points.ones_first();
  if (random.below(2) == 0) index = points.offsets()[random.below(points.offsets().size())] * 30 << 7;
  return std::min(index == 0 ? 0 : index - random.below(2), points.count() - 1);
}

// Every valid code may come up: uniform ones and, one in `rarity` each, the first and last and points with all pulses
// in few places.
StoredRows random_rows(const PvqLayout& layout, size_t rows, Random& random, uint64_t rarity = 8) {
  StoredRows stored;
  for (size_t row = 0; row < rows; ++row) {
    stored.row_scale.push_back(float_to_half(random.gaussian()));
    for (const PvqCode& code : layout.codes) {
      std::vector<uint64_t> values(code.groups);
      for (uint64_t& value : values) {
        const uint64_t level = random.below(code.levels.size());
        uint64_t index = random.below(code.count());
        if (random.below(rarity) == 0) index = random.below(2) == 0 ? 0 : code.count() - 1;
        if (code.barnes_wall && random.below(rarity / 2) == 0) index = barnes_wall_boundary(*code.barnes_wall, random);
        if (random.below(rarity) == 0) {
          std::vector<int16_t> point(code.dimension, 0);
          const int kept = static_cast<int>(random.below(code.pulses + 1));
          point[random.below(code.dimension)] = static_cast<int16_t>(kept);
          int16_t& other = point[random.below(code.dimension)];
          other = static_cast<int16_t>(other == 0 ? kept - code.pulses : code.pulses);
          if (code.points->contains(point.data())) index = code.points->index_of(point.data());
        }
        value = level * code.count() + index;
      }
      const size_t start = stored.codes.size();
      stored.codes.resize(start + code.bytes);
      pack_codes(values.data(), code.groups, code.bits, stored.codes.data() + start);
    }
  }
  return stored;
}

std::vector<float> some_levels(size_t count) {
  std::vector<float> levels;
  for (size_t l = 0; l < count; ++l) levels.push_back(1 + 0.37f * static_cast<float>(l));
  return levels;
}

struct CodeSetting {
  int dimension, pulses;
  size_t levels;
  Lattice lattice = Lattice::integer;
};

// Of one segment.
inline PvqLayout layout_of(const CodeSetting& s, size_t columns, PyramidCache& cache) {
  return PvqLayout(columns, {{columns, s.dimension, s.pulses, some_levels(s.levels), s.lattice}}, cache);
}

}  // namespace
