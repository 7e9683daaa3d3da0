#include "core/pvq/pyramid_counts.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "random.h"

using pyramidion::Error;
using pyramidion::PyramidCounts;

namespace {

// N(D,K) = N(D-1,K) + N(D,K-1) + N(D-1,K-1), as the definition states it.
uint64_t recurrence(int dimension, int pulses) {
  std::vector<uint64_t> row(pulses + 1, 0);
  row[0] = 1;
  for (int d = 1; d <= dimension; ++d) {
    uint64_t diagonal = row[0];
    for (int k = 1; k <= pulses; ++k) {
      const uint64_t above = row[k];
      row[k] = above + row[k - 1] + diagonal;
      diagonal = above;
    }
  }
  return row[pulses];
}

}  // namespace

TEST_CASE("counts of points follow the recurrence of the definition") {
  for (int dimension : {1, 2, 4, 8, 16, 32}) {
    for (int pulses : {0, 1, 2, 3, 5, 7, 12, 21}) {
      INFO("D ", dimension, " K ", pulses);
      CHECK(PyramidCounts(dimension, pulses).count() == recurrence(dimension, pulses));
    }
  }
  CHECK(PyramidCounts(8, 474).count() == recurrence(8, 474));
  CHECK(PyramidCounts(4, 32767).count() == recurrence(4, 32767));
}

TEST_CASE("every index of a small pyramid is one point, and back") {
  for (int dimension : {1, 2, 4, 8}) {
    for (int pulses : {1, 2, 3, 4, 6}) {
      const PyramidCounts pyramid(dimension, pulses);
      for (uint64_t index = 0; index < pyramid.count(); ++index) {
        int16_t point[32];
        pyramid.point_of(index, point);
        REQUIRE(pyramid.contains(point));
        REQUIRE(pyramid.index_of(point) == index);
      }
    }
  }
}

TEST_CASE("the largest pyramids that fit 64 bits are numbered without overflow") {
  const uint64_t seed = 3;
  INFO("seed ", seed);
  Random random(seed);
  for (auto [dimension, pulses] :
       {std::pair<int, int>{1, 32767}, {2, 32767}, {4, 32767}, {8, 700}, {16, 50}, {32, 22}}) {
    const PyramidCounts pyramid(dimension, pulses);
    for (int repeat = 0; repeat < 300; ++repeat) {
      const uint64_t index = repeat == 0 ? 0 : repeat == 1 ? pyramid.count() - 1 : random.below(pyramid.count());
      int16_t point[32];
      pyramid.point_of(index, point);
      REQUIRE(pyramid.contains(point));
      REQUIRE(pyramid.index_of(point) == index);
    }
  }
}

TEST_CASE("pyramids that cannot be numbered are refused") {
  CHECK_THROWS_AS(PyramidCounts(3, 2), Error);
  CHECK_THROWS_AS(PyramidCounts(0, 2), Error);
  CHECK_THROWS_AS(PyramidCounts(64, 1), Error);
  CHECK_THROWS_AS(PyramidCounts(8, -1), Error);
  CHECK_THROWS_AS(PyramidCounts(2, 32768), Error);
  CHECK_THROWS_AS(PyramidCounts(8, 2000), Error);
  CHECK_THROWS_AS(PyramidCounts(16, 32767), Error);
  CHECK_THROWS_AS(PyramidCounts(32, 30), Error);
}

TEST_CASE("a point belongs to the pyramid only when its magnitudes add up to the pulses") {
  const PyramidCounts pyramid(4, 5);
  const int16_t inside[4] = {-2, 0, 3, 0}, outside[4] = {1, 1, 1, 1}, extreme[4] = {-32768, 0, 0, 0};
  CHECK(pyramid.contains(inside));
  CHECK_FALSE(pyramid.contains(outside));
  CHECK_FALSE(pyramid.contains(extreme));
}
