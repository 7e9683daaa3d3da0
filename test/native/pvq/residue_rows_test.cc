// Residue rows: the pulses and levels of the codes, and products bit for bit those of the stored form, with every
// instruction set.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "core/pvq/compact_segment.h"
#include "core/pvq/residue_segment.h"
#include "random_rows.h"

using namespace pyramidion;

namespace {

void check_rows(const PvqLayout& layout, size_t rows, Random& random) {
  const PvqCode& code = layout.codes.front();
  StoredRows stored = random_rows(layout, rows, random);
  stored.codes.resize(stored.codes.size() + pvq_read_ahead);
  ThreadPool pool(1);
  const std::vector<float> x = random.gaussians(layout.columns);
  const IntegerTokens inputs(layout, x.data(), 1, pool);
  const CompactSegment reference(code, stored.codes.data(), layout.row_bytes, rows, InstructionSet::portable);
  const std::vector<float> start = random.gaussians(rows * block_groups);
  std::vector<float> expected = start, expected_values(rows * layout.columns);
  std::vector<uint32_t> expected_levels(rows * code.groups);
  reference.accumulate(0, rows, inputs.segment(0, 0, 1), expected.data());
  for (size_t row = 0; row < rows; ++row) {
    reference.decode(row, 0.7f, expected_values.data() + row * layout.columns);
    reference.levels_of(row, expected_levels.data() + row * code.groups);
  }
  for (ResidueRows::Signs signs : {ResidueRows::Signs::nonzero, ResidueRows::Signs::all}) {
    for (InstructionSet set : instruction_sets) {
      if (set > supported_instruction_set()) continue;
      INFO("all signs ", (signs == ResidueRows::Signs::all), " ", name_of(set));
      const ResidueSegment segment(code, MemoryLayout::split,
                                   ResidueRows(code, stored.codes.data(), layout.row_bytes, rows, signs, set, nullptr),
                                   set);
      std::vector<float> lanes = start, values(rows * layout.columns);
      std::vector<uint32_t> levels(rows * code.groups);
      segment.accumulate(0, rows, inputs.segment(0, 0, 1), lanes.data());
      for (size_t row = 0; row < rows; ++row) {
        segment.decode(row, 0.7f, values.data() + row * layout.columns);
        segment.levels_of(row, levels.data() + row * code.groups);
      }
      REQUIRE(levels == expected_levels);
      REQUIRE(std::memcmp(values.data(), expected_values.data(), values.size() * sizeof(float)) == 0);
      REQUIRE(std::memcmp(lanes.data(), expected.data(), lanes.size() * sizeof(float)) == 0);
    }
  }
}

}  // namespace

TEST_CASE("residue rows give the products, weights and levels of their codes") {
  const uint64_t seed = 47;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  struct Setting {
    int dimension, pulses;
    size_t levels;
  };
  for (const Setting& s : {Setting{8, 1, 1},
                           {8, 6, 2},
                           {8, 9, 4},
                           {8, 12, 7},
                           {8, 15, 5},
                           {8, 17, 13},
                           {8, 32, 8},
                           {16, 1, 3},
                           {16, 11, 3},
                           {16, 24, 7},
                           {16, 25, 4},
                           {16, 34, 12},
                           {16, 40, 13}}) {
    for (size_t columns : {1, 7, 8, 100, 128, 256, 576, 1000}) {
      INFO("D ", s.dimension, " K ", s.pulses, " L ", s.levels, " columns ", columns);
      check_rows(PvqLayout(columns, {{columns, s.dimension, s.pulses, some_levels(s.levels)}}, cache), 5, random);
    }
  }
}
