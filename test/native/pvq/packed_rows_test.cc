// Residue and patched rows: the pulses and levels of the codes, and products bit for bit those of the stored form, with
// every instruction set.
#include <doctest/doctest.h>

#include <cstring>
#include <utility>
#include <vector>

#include "core/pvq/compact_segment.h"
#include "core/pvq/packed_segment.h"
#include "core/pvq/patched_rows.h"
#include "core/pvq/residue_rows.h"
#include "random_rows.h"

using namespace pyramidion;

namespace {

// What a row is, in any form.
struct Decoded {
  std::vector<float> lanes, values;
  std::vector<uint32_t> levels;
};

Decoded decode_all(const SegmentRows& segment, const PvqLayout& layout, size_t rows, const IntegerTokens& inputs,
                   const std::vector<float>& start) {
  const size_t groups = layout.codes.front().groups;
  Decoded all = {start, std::vector<float>(rows * layout.columns), std::vector<uint32_t>(rows * groups)};
  segment.accumulate(0, rows, inputs.segment(0, 0, 1), all.lanes.data());
  for (size_t row = 0; row < rows; ++row) {
    segment.decode(row, 0.7f, all.values.data() + row * layout.columns);
    segment.levels_of(row, all.levels.data() + row * groups);
  }
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// make(code, codes, stride, rows, set): the rows to check.
template <class Rows, class Make>
void check_rows(const Make& make, const PvqLayout& layout, size_t rows, Random& random) {
  const PvqCode& code = layout.codes.front();
  StoredRows stored = random_rows(layout, rows, random);
  stored.codes.resize(stored.codes.size() + pvq_read_ahead);
  ThreadPool pool(1);
  const std::vector<float> x = random.gaussians(layout.columns), start = random.gaussians(rows * block_groups);
  const IntegerTokens inputs(layout, x.data(), 1, TokenOrder::blocks, pool);
  const CompactSegment reference(code, stored.codes.data(), layout.row_bytes, rows, InstructionSet::portable);
  const Decoded expected = decode_all(reference, layout, rows, inputs, start);
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    const PackedSegment<Rows> segment(code, MemoryLayout::split,
                                      make(code, stored.codes.data(), layout.row_bytes, rows, set), set);
    const Decoded decoded = decode_all(segment, layout, rows, inputs, start);
    REQUIRE(decoded.levels == expected.levels);
    REQUIRE(same_bits(decoded.values, expected.values));
    REQUIRE(same_bits(decoded.lanes, expected.lanes));
  }
}

void check_residue_rows(ResidueRows::Signs signs, const PvqLayout& layout, size_t rows, Random& random) {
  const auto make = [signs](const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set) {
    return ResidueRows(code, codes, stride, rows, signs, set, nullptr);
  };
  check_rows<ResidueRows>(make, layout, rows, random);
}

}  // namespace

TEST_CASE("residue rows give the products, weights and levels of their codes") {
  const uint64_t seed = 47;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const CodeSetting& s : {CodeSetting{8, 1, 1},
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
      const PvqLayout layout = layout_of(s, columns, cache);
      check_residue_rows(ResidueRows::Signs::nonzero, layout, 5, random);
      check_residue_rows(ResidueRows::Signs::all, layout, 5, random);
    }
  }
}

TEST_CASE("patched rows give the products, weights and levels of their codes") {
  const uint64_t seed = 48;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  const auto make = [](const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set) {
    return PatchedRows(code, codes, stride, rows, set, nullptr);
  };
  for (const auto& [pulses, levels] : {std::pair<int, size_t>{1, 3}, {3, 1}, {11, 3}, {24, 7}, {25, 8}, {31, 5}}) {
    // 4096 and more: several spans.
    for (size_t columns : {1, 16, 100, 256, 577, 4096, 5000}) {
      INFO("K ", pulses, " L ", levels, " columns ", columns);
      check_rows<PatchedRows>(make, layout_of({16, pulses, levels}, columns, cache), 3, random);
    }
  }
}
