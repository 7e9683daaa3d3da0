#include "core/pvq/pvq_matrix.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "random_rows.h"
#include "reference_decoder.h"

using namespace pyramidion;

namespace {

struct AlignedFloats {
  explicit AlignedFloats(size_t size) : storage(size + 16) {
    data = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64 / sizeof(float);
  }
  std::vector<float> storage;
  float* data;
};

// Compares both ways of reading a matrix, on every instruction set, with the reference.
void check_matrix(const PvqLayout& layout, size_t rows, Random& random) {
  const StoredRows stored = random_rows(layout, rows, random);
  const std::vector<double> expected = reference_decode(layout, stored.codes, stored.row_scale);
  const std::vector<float> x = random.gaussians(layout.columns);
  std::vector<float> portable;
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    const PvqMatrix matrix(rows, layout, stored.codes.data(), stored.row_scale.data(), set);
    std::vector<float> decoded(rows * layout.columns);
    matrix.decode_rows(0, rows, decoded.data(), layout.columns);
    for (size_t i = 0; i < decoded.size(); ++i) {
      REQUIRE(std::fabs(decoded[i] - expected[i]) <= 4e-7 * std::fabs(expected[i]));
    }
    if (portable.empty()) portable = decoded;
    REQUIRE(std::memcmp(decoded.data(), portable.data(), decoded.size() * sizeof(float)) == 0);
    // The last row alone, into a wider stride.
    std::vector<float> row(layout.columns + 3, 77);
    matrix.decode_rows(rows - 1, 1, row.data(), layout.columns + 3);
    REQUIRE(std::memcmp(row.data(), decoded.data() + (rows - 1) * layout.columns, layout.columns * 4) == 0);
    REQUIRE(row[layout.columns] == 77);

    AlignedFloats prepared(matrix.prepared_size());
    matrix.prepare_vector(x.data(), prepared.data);
    std::vector<float> y(rows), last(1);
    matrix.row_dots(0, rows, prepared.data, y.data());
    matrix.row_dots(rows - 1, 1, prepared.data, last.data());
    CHECK(last[0] == y[rows - 1]);
    for (size_t r = 0; r < rows; ++r) {
      double dot = 0, magnitude = 0;
      for (size_t c = 0; c < layout.columns; ++c) {
        dot += expected[r * layout.columns + c] * x[c];
        magnitude += std::fabs(expected[r * layout.columns + c] * x[c]);
      }
      REQUIRE(std::fabs(y[r] - dot) <= 2e-6 * magnitude);
    }
  }
}

}  // namespace

TEST_CASE("decoded rows and fused products agree with the reference for every dimension, shape and instruction set") {
  const uint64_t seed = 41;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const CodeSetting& s : {CodeSetting{2, 1, 1},
                               {2, 5, 3},
                               {2, 64, 256},
                               {2, 32767, 2},
                               {4, 1, 1},
                               {4, 7, 3},
                               {4, 32, 5},
                               {4, 33, 5},
                               {4, 700, 9},
                               {4, 32767, 4},
                               {8, 1, 1},
                               {8, 6, 2},
                               {8, 12, 7},
                               {8, 13, 4},
                               {8, 25, 13},
                               {8, 31, 5},
                               {8, 32, 3},
                               {8, 33, 3},
                               {8, 64, 20},
                               {8, 127, 9},
                               {8, 128, 9},
                               {8, 200, 4000},
                               {8, 474, 40},
                               {8, 700, 1},
                               {16, 1, 3},
                               {16, 11, 3},
                               {16, 24, 7},
                               {16, 29, 7},
                               {16, 31, 16},
                               {16, 32, 16},
                               {16, 36, 9},
                               {16, 49, 14},
                               {16, 50, 2},
                               {32, 1, 2},
                               {32, 8, 200},
                               {32, 15, 6},
                               {32, 21, 4},
                               {32, 22, 1},
                               {16, 8, 1, Lattice::barnes_wall},
                               {16, 10, 3, Lattice::barnes_wall},
                               {16, 20, 2, Lattice::barnes_wall},
                               {16, 40, 8, Lattice::barnes_wall},
                               {16, 82, 14, Lattice::barnes_wall},
                               {16, 98, 1, Lattice::barnes_wall}}) {
    for (size_t columns : {1, 2, 7, 9, 31, 33, 100, 576}) {
      INFO("D ", s.dimension, " K ", s.pulses, " L ", s.levels, " columns ", columns);
      const PvqLayout layout = layout_of(s, columns, cache);
      for (size_t rows : {1, 2, 5}) check_matrix(layout, rows, random);
    }
  }
}

TEST_CASE("every Barnes-Wall pyramid is decoded alike by every instruction set, whatever the words of a row") {
  const uint64_t seed = 43;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (int pulses = 8; pulses <= 98; pulses += 2) {
    const BarnesWallIndex points(pulses);
    size_t most = 1;
    while (most < 300 && code_bits(points.count(), most + 1) <= 64) ++most;
    for (size_t levels : {size_t{1}, 1 + random.below(most), most}) {
      for (size_t columns : {size_t{1}, size_t{255}, 1 + random.below(3000)}) {
        INFO("K ", pulses, " L ", levels, " columns ", columns);
        const PvqLayout layout = layout_of({16, pulses, levels, Lattice::barnes_wall}, columns, cache);
        check_matrix(layout, 2, random);
      }
    }
  }
}

TEST_CASE("a matrix of two segments is decoded with the code of each") {
  const uint64_t seed = 42;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (size_t rows : {1, 3, 4}) {
    check_matrix(PvqLayout(577, {{320, 16, 24, some_levels(7)}, {257, 16, 25, some_levels(5)}}, cache), rows, random);
    check_matrix(PvqLayout(41, {{32, 32, 9, some_levels(3)}, {9, 8, 40, some_levels(9)}}, cache), rows, random);
    const PvqSegment barnes_wall = {80, 16, 40, some_levels(8), Lattice::barnes_wall};
    check_matrix(PvqLayout(121, {barnes_wall, {41, 8, 25, some_levels(13)}}, cache), rows, random);
    check_matrix(PvqLayout(7, {{4, 2, 5, some_levels(3)}, {3, 4, 9, some_levels(2)}}, cache), rows, random);
  }
}

TEST_CASE("codes beyond the last, padding that is not zero and infinite scales are refused") {
  PyramidCache cache;
  const PvqLayout layout(12, {{12, 4, 7, some_levels(3)}}, cache);  // three codes of 12 bits, below 2856
  std::vector<uint8_t> codes(2 * layout.row_bytes, 0);
  std::vector<uint16_t> scales(2, 0x3c00);
  REQUIRE(layout.row_bytes == 5);
  CHECK_NOTHROW(PvqMatrix(2, layout, codes.data(), scales.data()));
  codes[5] = 0x28, codes[6] = 0x0b;  // 0xb28 = 2856
  CHECK_THROWS_AS(PvqMatrix(2, layout, codes.data(), scales.data()), Error);
  codes[5] = 0x27;
  CHECK_NOTHROW(PvqMatrix(2, layout, codes.data(), scales.data()));
  codes[4] = 0x10;
  CHECK_THROWS_AS(PvqMatrix(2, layout, codes.data(), scales.data()), Error);
  codes[4] = 0;
  scales[1] = 0x7c00;
  CHECK_THROWS_AS(PvqMatrix(2, layout, codes.data(), scales.data()), Error);
}

TEST_CASE("matrices with the same code share its tables, which go away with the last of them") {
  PyramidCache cache;
  auto first = cache.tables(8, 12);
  CHECK(cache.tables(8, 12).get() == first.get());
  CHECK(cache.tables(8, 13).get() != first.get());
  const std::weak_ptr<const PyramidTables> watched = first;
  first.reset();
  CHECK(watched.expired());

  auto barnes_wall = cache.barnes_wall(40);
  CHECK(cache.barnes_wall(40).get() == barnes_wall.get());
  CHECK(barnes_wall->halved.get() == cache.tables(16, 20).get());
  const std::weak_ptr<const BarnesWallTables> also_watched = barnes_wall;
  barnes_wall.reset();
  CHECK(also_watched.expired());
}

TEST_CASE("a matrix takes other scales and levels, and gives the slopes of a linear function of its values at them") {
  PyramidCache cache;
  const PvqLayout layouts[] = {PvqLayout(45, {{24, 8, 7, some_levels(3)}, {21, 16, 11, some_levels(2)}}, cache),
                               PvqLayout(64, {{64, 16, 20, some_levels(5), Lattice::barnes_wall}}, cache)};
  for (const PvqLayout& layout : layouts) {
    Random random(17);
    const size_t rows = 5, columns = layout.columns;
    const StoredRows stored = random_rows(layout, rows, random);
    PvqMatrix matrix(rows, layout, stored.codes.data(), stored.row_scale.data());
    const std::vector<float> slope = random.gaussians(rows * columns), levels = matrix.levels();
    const auto value = [&] {
      std::vector<float> decoded(rows * columns);
      matrix.decode_rows(0, rows, decoded.data(), columns);
      double sum = 0;
      for (size_t i = 0; i < decoded.size(); ++i) sum += static_cast<double>(slope[i]) * decoded[i];
      return sum;
    };
    std::vector<double> row_scale_gradient(rows, NAN), levels_gradient(levels.size());
    matrix.scale_gradients(0, 2, slope.data(), row_scale_gradient.data(), levels_gradient.data());
    matrix.scale_gradients(2, rows - 2, slope.data() + 2 * columns, row_scale_gradient.data() + 2,
                           levels_gradient.data());
    const double before = value();
    for (size_t row = 0; row < rows; ++row) {
      std::vector<uint16_t> moved = stored.row_scale;
      moved[row] = float_to_half(2 * half_to_float(moved[row]));
      matrix.set_scales(moved.data(), levels.data());
      CHECK(value() - before == doctest::Approx(row_scale_gradient[row] * matrix.row_scale()[row] / 2).epsilon(1e-4));
    }
    for (size_t level = 0; level < levels.size(); ++level) {
      std::vector<float> moved = levels;
      moved[level] += 0.125f;
      matrix.set_scales(stored.row_scale.data(), moved.data());
      CHECK(matrix.levels() == moved);
      CHECK(std::fabs(value() - before - levels_gradient[level] * 0.125) < 1e-4);
    }
    matrix.set_scales(stored.row_scale.data(), levels.data());
    CHECK(value() == before);

    // What it refuses changes nothing.
    std::vector<float> falling = levels;
    std::reverse(falling.begin(), falling.end());
    std::vector<uint16_t> infinite = stored.row_scale, doubled = stored.row_scale;
    infinite[3] = 0x7c00;
    doubled[0] = float_to_half(2 * half_to_float(doubled[0]));
    CHECK_THROWS_AS(matrix.set_scales(doubled.data(), falling.data()), Error);
    CHECK_THROWS_AS(matrix.set_scales(infinite.data(), levels.data()), Error);
    CHECK(value() == before);
  }
}
