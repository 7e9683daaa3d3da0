// Products by a matrix unit, with plain loops in the unit's place: packing, edges and sums, on any processor.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "cpu/pvq_decode/dispatch.h"
#include "cpu/expanded_product/dispatch.h"
#include "cpu/expanded_product/shapes.h"
#include "cpu/expanded_product/tile_product.h"
#include "random_rows.h"

using namespace pyramidion;

namespace {

class PlainUnit {
 public:
  explicit PlainUnit(size_t depth) : depth_(depth) {}

  void products(const int8_t* a, const int8_t* b, size_t count, int32_t* c) const {
    for (size_t i = 0; i < count; ++i, a += 16 * depth_, b += 16 * depth_, c += 256) {
      for (size_t row = 0; row < 16; ++row) {
        for (size_t token = 0; token < 16; ++token) {
          int32_t sum = 0;
          for (size_t k = 0; k < depth_; ++k) sum += a[row * depth_ + k] * b[k / 4 * 64 + token * 4 + k % 4];
          c[row * 16 + token] = sum;
        }
      }
    }
  }

  template <int Quads, bool Words>
  class Cursor {
   public:
    Cursor(const ExpandedRows& rows, size_t row) : rows_(rows), reader_(rows, row) {}

    void next(int8_t* pulses, float* factors) {
      int8_t groups[block_groups][Quads * 4];
      uint32_t tags[block_groups];
      reader_.next(groups[0], tags);
      for (size_t lane = 0; lane < block_groups; ++lane) {
        float square = 0;
        for (size_t i = 0; i < Quads * 4; ++i) {
          pulses[i / 4 * 64 + lane * 4 + i % 4] = groups[lane][i];
          square += static_cast<float>(groups[lane][i] * groups[lane][i]);
        }
        factors[lane] = group_factor(rows_.factors->levels[rows_.level(tags[lane])], square);
      }
    }

   private:
    const ExpandedRows& rows_;
    ExpandedReader reader_;
  };

 private:
  size_t depth_;
};

}  // namespace

TEST_CASE("products by tiles are those of the definition, bit for bit") {
  const uint64_t seed = 46;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  ThreadPool pool(1);
  const size_t row_count = 37;
  for (const PvqSegment& segment : {PvqSegment{700, 8, 12, some_levels(7)},
                                    {100, 8, 127, some_levels(90)},
                                    {900, 16, 24, some_levels(7)},
                                    {300, 16, 40, some_levels(8), Lattice::barnes_wall},
                                    {600, 32, 21, some_levels(4)}}) {
    INFO("D ", segment.dimension, " K ", segment.pulses);
    // Behind another segment, whose lanes it goes on with.
    const PvqLayout layout(segment.columns + 40, {{40, 8, 6, some_levels(2)}, segment}, cache);
    const PvqCode& code = layout.codes[1];
    const PvqLayout alone(segment.columns, {segment}, cache);
    const StoredRows stored = random_rows(alone, row_count, random);
    std::vector<uint8_t> codes = stored.codes;
    codes.resize(codes.size() + pvq_read_ahead);
    const ExpandedRows rows(code, codes.data(), code.bytes, row_count, instruction_set(), nullptr);
    for (size_t tokens : {1, 16, 41}) {
      const std::vector<float> x = random.gaussians(tokens * layout.columns);
      const IntegerTokens inputs(layout, x.data(), tokens, pool, true);
      for (size_t first : {size_t{0}, tokens / 32 * 16}) {
        const SegmentTokens values = inputs.segment(1, first, tokens - first);
        std::vector<float> expected = random.gaussians(row_count * values.count * block_groups), lanes = expected;
        expanded_product_kernels().back().accumulate(rows, 0, row_count, values, expected.data());
        size_t done = 0;
        with_shape(rows, [&](auto shape) {
          using Shape = decltype(shape);
          done = accumulate_tiles<PlainUnit, Shape::quads, Shape::words>(rows, 0, row_count, values, lanes.data());
        });
        REQUIRE(done == 32);
        REQUIRE(std::memcmp(lanes.data(), expected.data(), done * values.count * block_groups * sizeof(float)) == 0);
      }
    }
    CHECK(IntegerTokens(layout, random.gaussians(17 * layout.columns).data(), 17, pool, true).segment(0, 3, 9).tiles ==
          nullptr);
  }
}
