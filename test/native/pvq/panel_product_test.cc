// Panels filled and multiplied by plain loops, in the place of AVX-512 and of a matrix unit: order, edges and sums, on
// any processor.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "core/pvq/expanded_rows.h"
#include "cpu/expanded_product/dispatch.h"
#include "cpu/panel_product/dispatch.h"
#include "cpu/panel_product/tile_unit.h"
#include "cpu/pvq_decode/dispatch.h"
#include "random_rows.h"

using namespace pyramidion;

namespace {

class PlainTiles {
 public:
  explicit PlainTiles(size_t depth) : depth_(depth) {}

  void products(const int8_t* a, size_t a_stride, const int8_t* b, size_t b_stride, int32_t* c) const {
    for (size_t h = 0; h < 2; ++h, b += b_stride) {
      for (size_t token = 0; token < 16; ++token) {
        for (size_t row = 0; row < 16; ++row, ++c) {
          *c = 0;
          for (size_t k = 0; k < depth_; ++k) *c += a[token * a_stride + k] * b[k / 4 * 64 + row * 4 + k % 4];
        }
      }
    }
  }

 private:
  size_t depth_;
};

// By its definition, pulses as they are.
void fill_plain(const ExpandedRows& rows, size_t groups, size_t first, size_t count, uint8_t* part) {
  const size_t quads = static_cast<size_t>(rows.quads), width = 4 * quads;
  std::memset(part, 0, groups * panel_group_bytes(quads));
  for (size_t row = 0; row < count; ++row) {
    ExpandedReader reader(rows, first + row);
    for (size_t b = 0; b < rows.blocks; ++b) {
      std::vector<int8_t> pulses(block_groups * width);
      uint32_t tags[block_groups];
      reader.next(pulses.data(), tags);
      for (size_t lane = 0; lane < rows.lanes(b); ++lane) {
        uint8_t* half = part + (groups_before_lane(groups, lane) + b) * panel_group_bytes(quads) +
                        row / 16 * panel_half_bytes(quads);
        float square = 0;
        for (size_t i = 0; i < width; ++i) {
          const int8_t pulse = pulses[lane * width + i];
          half[i / 4 * 64 + row % 16 * 4 + i % 4] = static_cast<uint8_t>(pulse);
          square += static_cast<float>(pulse * pulse);
        }
        const float factor = group_factor(rows.factors->levels[rows.level(tags[lane])], square);
        std::memcpy(half + quads * 64 + row % 16 * 4, &factor, sizeof(factor));
      }
    }
  }
}

// Lanes row by row, and their sums: tokens x panel_rows.
std::vector<float> expected_sums(const std::vector<const ExpandedRows*>& segments, size_t first, size_t count,
                                 const IntegerTokens& inputs, size_t first_token) {
  const size_t tokens = inputs.count() - first_token;
  std::vector<float> lanes(count * tokens * block_groups), sums(count * tokens), result(tokens * panel_rows);
  for (size_t s = 0; s < segments.size(); ++s) {
    expanded_product_kernels().back().accumulate(*segments[s], first, count, inputs.segment(s, first_token, tokens),
                                                 lanes.data());
  }
  sum_lanes(lanes.data(), sums.size(), sums.data());
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t row = 0; row < count; ++row) result[t * panel_rows + row] = sums[row * tokens + t];
  }
  return result;
}

}  // namespace

TEST_CASE("panels of rows have the products of the definition, bit for bit") {
  const uint64_t seed = 46;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  ThreadPool pool(1);
  const size_t row_count = 43;
  std::vector<PanelKernel> kernels = {{InstructionSet::portable, fill_plain, [](auto... arguments) {
                                         TileUnit<PlainTiles> unit;
                                         multiply_panel(unit, arguments...);
                                       }}};
  kernels.insert(kernels.end(), panel_kernels().begin(), panel_kernels().end());
  for (const PvqSegment& segment : {PvqSegment{700, 8, 12, some_levels(7)},
                                    {100, 8, 127, some_levels(90)},
                                    {76, 2, 5, some_levels(3)},
                                    {130, 4, 9, some_levels(3)},
                                    {900, 16, 24, some_levels(7)},
                                    {300, 16, 40, some_levels(8), Lattice::barnes_wall},
                                    {600, 32, 21, some_levels(4)}}) {
    INFO("D ", segment.dimension, " K ", segment.pulses);
    // Behind another segment, whose lanes it goes on with.
    const PvqLayout layout(segment.columns + 40, {{40, 8, 6, some_levels(2)}, segment}, cache);
    const StoredRows stored = random_rows(layout, row_count, random);
    std::vector<uint8_t> codes = stored.codes;
    codes.resize(codes.size() + pvq_read_ahead);
    std::vector<ExpandedRows> rows;
    std::vector<const ExpandedRows*> segments;
    size_t offset = 0;
    rows.reserve(2);
    for (const PvqCode& code : layout.codes) {
      rows.emplace_back(code, codes.data() + offset, layout.row_bytes, row_count, instruction_set(), nullptr);
      segments.push_back(&rows.back());
      offset += code.bytes;
    }
    for (size_t tokens : {1, 6, 16, 29}) {
      const std::vector<float> x = random.gaussians(tokens * layout.columns);
      const IntegerTokens inputs(layout, x.data(), tokens, TokenOrder::panels, pool);
      const IntegerTokens in_blocks(layout, x.data(), tokens, TokenOrder::blocks, pool);
      for (size_t first_token : {size_t{0}, tokens / 2}) {
        for (size_t first : {size_t{0}, size_t{32}}) {
          const size_t count = std::min(panel_rows, row_count - first);
          const std::vector<float> expected = expected_sums(segments, first, count, in_blocks, first_token);
          for (const PanelKernel& kernel : kernels) {
            // The plain one works factors out.
            const bool by_table = kernel.instruction_set != InstructionSet::portable;
            if (by_table && rows[1].factors->values.empty()) continue;
            std::vector<AlignedBuffer<uint8_t>> bytes;
            std::vector<PanelPart> parts;
            std::vector<PanelTokens> part_tokens;
            for (size_t s = 0; s < 2; ++s) {
              const PvqCode& code = layout.codes[s];
              const auto quads = static_cast<size_t>(quads_of(code));
              bytes.emplace_back(code.groups * panel_group_bytes(quads));
              kernel.fill(rows[s], code.groups, first, count, bytes.back().data());
              parts.push_back({quads, code.groups, bytes.back().data()});
              part_tokens.push_back(inputs.panel_segment(s, first_token));
            }
            std::vector<float> sums(expected.size(), 77);
            kernel.multiply(parts.data(), 2, part_tokens.data(), tokens - first_token, sums.data());
            INFO(name_of(kernel.instruction_set), ", ", tokens - first_token, " tokens, ", count, " rows");
            REQUIRE(std::memcmp(sums.data(), expected.data(), sums.size() * sizeof(float)) == 0);
          }
        }
      }
    }
  }
}
