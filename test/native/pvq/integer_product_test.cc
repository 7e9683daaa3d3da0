// Products of PVQ rows with int8 tokens: right, and the same bits for every memory layout and instruction set.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/pvq/pvq_matrix.h"
#include "random_rows.h"
#include "reference_decoder.h"

using namespace pyramidion;

namespace {

constexpr MemoryLayout kLayouts[] = {MemoryLayout::compact, MemoryLayout::compact_integers, MemoryLayout::split,
                                     MemoryLayout::expanded};

// y in double, from the reference's weights and the tokens as int8_activations() rounds them.
std::vector<double> reference_products(const std::vector<double>& weights, const std::vector<float>& x, size_t rows,
                                       size_t columns, std::vector<double>* magnitudes) {
  std::vector<double> y;
  for (size_t t = 0; t < x.size() / columns; ++t) {
    const float* token = x.data() + t * columns;
    float largest = 0;
    for (size_t i = 0; i < columns; ++i) largest = std::max(largest, std::fabs(token[i]));
    for (size_t row = 0; row < rows; ++row) {
      double sum = 0, magnitude = 0;
      for (size_t i = 0; i < columns; ++i) {
        const double q = largest == 0 ? 0 : std::nearbyint(token[i] * (127 / largest));
        sum += weights[row * columns + i] * q * (static_cast<double>(largest) / 127);
        magnitude += std::fabs(weights[row * columns + i] * q * largest / 127);
      }
      y.push_back(sum);
      magnitudes->push_back(magnitude);
    }
  }
  return y;
}

void check_products(const PvqLayout& layout, size_t rows, size_t tokens, Random& random, uint64_t rarity = 8) {
  const StoredRows stored = random_rows(layout, rows, random, rarity);
  const size_t columns = layout.columns;
  std::vector<float> x = random.gaussians(tokens * columns);
  if (tokens > 1) std::fill_n(x.begin(), columns, 0.0f);
  std::vector<double> magnitudes;
  const std::vector<double> expected =
      reference_products(reference_decode(layout, stored.codes, stored.row_scale), x, rows, columns, &magnitudes);
  ThreadPool pool(1);
  std::vector<float> first_y, first_decoded;
  for (MemoryLayout memory_layout : kLayouts) {
    for (InstructionSet set : present_sets()) {
      INFO("layout ", static_cast<int>(memory_layout), " ", name_of(set));
      const PvqMatrix matrix(rows, layout, stored.codes.data(), stored.row_scale.data(), set, memory_layout, &pool);
      const IntegerTokens inputs(layout, x.data(), tokens, matrix.token_order(tokens), pool);
      std::vector<float> y(tokens * rows), decoded(rows * columns), last(tokens * 3, 77);
      matrix.integer_products(0, rows, inputs, 0, tokens, y.data(), rows);
      matrix.decode_rows(0, rows, decoded.data(), columns);
      for (size_t i = 0; i < y.size(); ++i) REQUIRE(std::fabs(y[i] - expected[i]) <= 2e-6 * magnitudes[i]);
      if (first_y.empty()) first_y = y, first_decoded = decoded;
      REQUIRE(std::memcmp(y.data(), first_y.data(), y.size() * sizeof(float)) == 0);
      REQUIRE(std::memcmp(decoded.data(), first_decoded.data(), decoded.size() * sizeof(float)) == 0);
      // The last row and token alone.
      matrix.integer_products(rows - 1, 1, inputs, tokens - 1, 1, last.data(), 3);
      REQUIRE(last[0] == y[tokens * rows - 1]);
      REQUIRE(last[1] == 77);
    }
  }
}

}  // namespace

TEST_CASE("integer products agree with the reference, bit for bit among memory layouts and instruction sets") {
  const uint64_t seed = 43;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  const Lattice barnes_wall = Lattice::barnes_wall;
  for (const CodeSetting& s : {CodeSetting{2, 1, 1},
                               {2, 5, 3},
                               {2, 300, 2},
                               {4, 7, 3},
                               {4, 127, 17},
                               {4, 128, 9},
                               {8, 6, 2},
                               {8, 9, 3},
                               {8, 15, 6},
                               {8, 14, 16},
                               {8, 12, 7},
                               {8, 25, 13},
                               {8, 31, 5},
                               {8, 64, 20},
                               {8, 7, 300},
                               {8, 127, 90},
                               {8, 200, 40},
                               {16, 1, 3},
                               {16, 11, 3},
                               {16, 24, 7},
                               {16, 32, 17},
                               {16, 29, 7},
                               {16, 34, 12},
                               {16, 49, 14},
                               {32, 8, 200},
                               {32, 21, 4},
                               {16, 20, 2, barnes_wall},
                               {16, 28, 5, barnes_wall},
                               {16, 40, 8, barnes_wall},
                               {16, 40, 9, barnes_wall},
                               {16, 58, 9, barnes_wall},
                               {16, 82, 14, barnes_wall}}) {
    for (size_t columns : {1, 9, 100, 576}) {
      INFO("D ", s.dimension, " K ", s.pulses, " L ", s.levels, " columns ", columns);
      const PvqLayout layout = layout_of(s, columns, cache);
      for (size_t tokens : {1, 2, 5, 9}) check_products(layout, 3, tokens, random);
    }
  }
}

TEST_CASE("integer products of many rows and tokens, in tiles and what they leave over") {
  const uint64_t seed = 45;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  const PvqSegment segments[] = {{700, 4, 7, some_levels(3)},
                                 {1300, 8, 12, some_levels(7)},
                                 {2100, 16, 24, some_levels(7)},
                                 {700, 16, 40, some_levels(8), Lattice::barnes_wall},
                                 {1100, 32, 21, some_levels(4)}};
  for (const PvqSegment& segment : segments) {
    INFO("D ", segment.dimension, " K ", segment.pulses);
    const PvqLayout layout(segment.columns, {segment}, cache);
    for (size_t tokens : {16, 23}) check_products(layout, 23, tokens, random);
  }
}

TEST_CASE("integer products of rows with few pulses beyond four bits, several rows at once") {
  const uint64_t seed = 46;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  const PvqSegment segments[] = {{1050, 8, 9, some_levels(7)},
                                 {1050, 8, 9, some_levels(17)},
                                 {2100, 16, 16, some_levels(7)},
                                 {2100, 16, 28, some_levels(8), Lattice::barnes_wall},
                                 {4100, 32, 21, some_levels(4)}};
  for (const PvqSegment& segment : segments) {
    INFO("D ", segment.dimension, " K ", segment.pulses);
    const PvqLayout layout(segment.columns, {segment}, cache);
    for (size_t tokens : {1, 2, 5, 8, 15}) check_products(layout, 11, tokens, random, 1500);
  }
}

TEST_CASE("integer products of two segments run through both in the same lanes") {
  const uint64_t seed = 44;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (size_t tokens : {1, 3, 8}) {
    check_products(PvqLayout(577, {{320, 16, 24, some_levels(7)}, {257, 16, 25, some_levels(5)}}, cache), 4, tokens,
                   random);
    check_products(PvqLayout(41, {{32, 32, 9, some_levels(3)}, {9, 8, 140, some_levels(9)}}, cache), 4, tokens, random);
    const PvqSegment first = {80, 16, 40, some_levels(8), Lattice::barnes_wall};
    check_products(PvqLayout(121, {first, {41, 8, 25, some_levels(13)}}, cache), 4, tokens, random);
  }
}

TEST_CASE("a token that is not finite gives NaN, and others beside it their products") {
  Random random(5);
  PyramidCache cache;
  const PvqLayout layout(40, {{40, 16, 24, some_levels(7)}}, cache);
  const StoredRows stored = random_rows(layout, 2, random);
  ThreadPool pool(1);
  std::vector<float> x = random.gaussians(3 * 40);
  x[40 + 7] = INFINITY, x[80 + 39] = NAN;
  const PvqMatrix matrix(2, layout, stored.codes.data(), stored.row_scale.data());
  std::vector<float> y(6);
  matrix.integer_products(0, 2, IntegerTokens(layout, x.data(), 3, TokenOrder::blocks, pool), 0, 3, y.data(), 2);
  CHECK(std::isfinite(y[0]));
  for (int i = 2; i < 6; ++i) CHECK(std::isnan(y[i]));
}

TEST_CASE("every memory layout takes other scales and levels and gives the slopes of its values at them") {
  Random random(6);
  PyramidCache cache;
  const PvqLayout layout(45, {{24, 8, 7, some_levels(3)}, {21, 16, 20, some_levels(2), Lattice::barnes_wall}}, cache);
  const StoredRows stored = random_rows(layout, 5, random), other = random_rows(layout, 5, random);
  const std::vector<float> slope = random.gaussians(5 * 45), levels = {0.5f, 2, 3.25f, 0, 1};
  const std::vector<float> x = random.gaussians(45);
  ThreadPool pool(1);
  const IntegerTokens inputs(layout, x.data(), 1, TokenOrder::blocks, pool);
  std::vector<double> first_slopes;
  std::vector<float> first_y;
  for (MemoryLayout memory_layout : kLayouts) {
    PvqMatrix matrix(5, layout, stored.codes.data(), stored.row_scale.data(), instruction_set(), memory_layout);
    matrix.set_scales(other.row_scale.data(), levels.data());
    std::vector<double> slopes(10);
    matrix.scale_gradients(0, 5, slope.data(), slopes.data(), slopes.data() + 5);
    std::vector<float> y(5);
    matrix.integer_products(0, 5, inputs, 0, 1, y.data(), 5);
    if (first_y.empty()) first_y = y, first_slopes = slopes;
    CHECK(y == first_y);
    CHECK(slopes == first_slopes);
    CHECK(matrix.levels() == levels);
  }
}
