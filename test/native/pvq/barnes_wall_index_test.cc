#include "core/pvq/barnes_wall_index.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "core/error.h"
#include "core/pvq/reed_muller.h"
#include "random.h"

using namespace pyramidion;

namespace {

constexpr int D = 16;

// Points of the lattice with sum |x_i| = K for K = 0..most, from the definition: counted by residues mod 2, sum |x_i|
// and sum x_i mod 4, coordinate by coordinate.
std::vector<uint64_t> counts_by_definition(int most) {
  const int width = most + 1;
  const auto state = [=](uint32_t word, int k, int sum) { return (static_cast<size_t>(word) * width + k) * 4 + sum; };
  std::vector<uint64_t> ways(size_t{1} << 16 << 2), next;
  ways.assign(size_t{65536} * width * 4, 0);
  ways[state(0, 0, 0)] = 1;
  for (int i = 0; i < D; ++i) {
    next.assign(ways.size(), 0);
    for (uint32_t word = 0; word < 1u << i; ++word) {
      for (int k = 0; k <= most; ++k) {
        for (int sum = 0; sum < 4; ++sum) {
          const uint64_t count = ways[state(word, k, sum)];
          for (int x = k - most; count != 0 && x <= most - k; ++x) {
            next[state(word | static_cast<uint32_t>(x & 1) << i, k + std::abs(x), (sum + x) & 3)] += count;
          }
        }
      }
    }
    ways.swap(next);
  }
  std::vector<uint64_t> counts(width, 0);
  for (uint32_t word : reed_muller.word) {
    for (int k = 0; k <= most; ++k) counts[k] += ways[state(word, k, 0)];
  }
  return counts;
}

int square_norm(const int16_t* point) {
  int square = 0;
  for (int i = 0; i < D; ++i) square += point[i] * point[i];
  return square;
}

}  // namespace

TEST_CASE("words of RM(1,4) are linear, 8 apart, and found by their bits") {
  for (int first = 0; first < reed_muller_words; ++first) {
    CHECK(reed_muller_number(reed_muller.word[first]) == first);
    for (int second = 0; second < first; ++second) {
      const uint32_t sum = reed_muller.word[first] ^ reed_muller.word[second];
      CHECK(reed_muller_number(sum) >= 0);
      CHECK(__builtin_popcount(sum) >= 8);
    }
  }
  int found = 0;
  for (uint32_t bits = 0; bits < 65536; ++bits) found += reed_muller_number(bits) >= 0 ? 1 : 0;
  CHECK(found == reed_muller_words);
}

TEST_CASE("a Barnes-Wall pyramid has the points that its definition gives it") {
  const int most = 18;
  const std::vector<uint64_t> expected = counts_by_definition(most);
  for (int pulses = 2; pulses <= most; pulses += 2) {
    INFO("K ", pulses);
    CHECK(BarnesWallIndex(pulses).count() == expected[pulses]);
    CHECK(expected[pulses - 1] == 0);
  }
}

TEST_CASE("the lattice has 480 + 3840 shortest vectors") {
  for (auto [pulses, expected] : {std::pair<int, int>{4, 480}, {8, 3840}}) {
    const BarnesWallIndex index(pulses);
    int shortest = 0;
    for (uint64_t i = 0; i < index.count(); ++i) {
      int16_t point[D];
      index.point_of(i, point);
      REQUIRE(square_norm(point) >= 8);
      shortest += square_norm(point) == 8 ? 1 : 0;
    }
    CHECK(shortest == expected);
  }
}

TEST_CASE("every index of a small Barnes-Wall pyramid is one point, and back") {
  for (int pulses : {4, 8, 10}) {
    const BarnesWallIndex index(pulses);
    for (uint64_t i = 0; i < index.count(); ++i) {
      int16_t point[D];
      index.point_of(i, point);
      REQUIRE(index.contains(point));
      REQUIRE(index.index_of(point) == i);
    }
  }
}

TEST_CASE("large Barnes-Wall pyramids are numbered without overflow") {
  const uint64_t seed = 61;
  INFO("seed ", seed);
  Random random(seed);
  for (int pulses : {16, 20, 28, 40, 48, 82, 96, 98}) {
    INFO("K ", pulses);
    const BarnesWallIndex index(pulses);
    std::vector<uint64_t> indices = {0, index.zeros_first() - 1, index.zeros_first(), index.ones_first() - 1,
                                     index.ones_first(), index.count() - 1};
    for (int repeat = 0; repeat < 300; ++repeat) {
      indices.push_back(random.below(index.count()));
      indices.push_back(index.ones_first() + random.below(index.count() - index.ones_first()));
      if (pulses % 4 == 0) {
        indices.push_back(index.zeros_first() + random.below(index.ones_first() - index.zeros_first()));
      }
    }
    for (uint64_t i : indices) {
      int16_t point[D];
      index.point_of(i, point);
      REQUIRE(index.contains(point));
      REQUIRE(index.index_of(point) == i);
    }
  }
}

TEST_CASE("indices have the fields that their order gives them") {
  // K = 12: T = 2, and K/2 is even. Word 2 = (a = 1, b = 0) has ones in the odd places.
  const BarnesWallIndex index(12);
  const PyramidCounts halves(8, 2);
  const int16_t first[D] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 4, 1};
  const int16_t even[8] = {0, 0, 0, 0, 0, 0, 0, 2};
  CHECK(index.index_of(first) == halves.index_of(even) * 30 * 128);
  // Signs of the first and fourth odd coordinate.
  const int16_t negative[D] = {0, -1, 0, 1, 0, 1, 0, -1, 0, 1, 0, 1, 0, 1, 4, 1};
  CHECK(index.index_of(negative) == halves.index_of(even) * 30 * 128 + 9);
  // The sign of the eighth follows from those of the others.
  const int16_t last[D] = {0, -1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 4, -1};
  CHECK(index.index_of(last) == halves.index_of(even) * 30 * 128 + 1);
  // Word 3, its complement: w = 1, and one step of 2 among the odd coordinates, t = 1, in the last of eight: rank 0.
  const int16_t other[D] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 3, -2};
  const int16_t one[8] = {0, 0, 0, 0, 0, 0, 0, -1};
  const uint64_t offset = halves.count();
  CHECK(index.index_of(other) == ((offset + 0 * 16 + PyramidCounts(8, 1).index_of(one)) * 30 + 1) * 128);
  // 30 words of N(8,2) + 8 N(8,1) + C(9,7) points and 128 signs each, then 2 P(16,6).
  CHECK(index.zeros_first() == 30 * 128 * (halves.count() + 8 * 16 + 36));
  const int16_t whole[D] = {2, 0, 0, 0, 0, -4, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0};
  const int16_t halved[D] = {1, 0, 0, 0, 0, -2, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0};
  CHECK(index.index_of(whole) == index.zeros_first() + PyramidCounts(16, 6).index_of(halved));
  // K = 18: all odd, with one 3 in the last place; K/2 is odd, and so is the number of negative ones.
  const BarnesWallIndex odd(18);
  const int16_t ones[D] = {1, 1, -1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3};
  CHECK(odd.index_of(ones) == odd.ones_first() + 4);
}

TEST_CASE("points outside the lattice or of another size do not belong") {
  const BarnesWallIndex index(12);
  const int16_t wrong_size[D] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
  const int16_t wrong_sum[D] = {0, -1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 4, 1};
  const int16_t wrong_word[D] = {1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 4, 0};
  const int16_t extreme[D] = {-32768};
  for (const int16_t* point : {wrong_size, wrong_sum, wrong_word, extreme}) CHECK_FALSE(index.contains(point));
}

TEST_CASE("Barnes-Wall pyramids that cannot be numbered are refused") {
  for (int pulses : {-2, 0, 1, 9, 21, 97, 100, 32766}) CHECK_THROWS_AS(BarnesWallIndex{pulses}, Error);
}
