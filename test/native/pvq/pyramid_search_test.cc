#include "core/pvq/pyramid_search.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/pvq/barnes_wall_index.h"
#include "core/pvq/pvq_code.h"
#include "core/pvq/pyramid_counts.h"
#include "cpu/pvq_search/dispatch.h"
#include "random.h"

using namespace pyramidion;

namespace {

// An emulated processor is some twenty times as slow.
#if defined(PYRAMIDION_EMULATED)
constexpr int kRepeats = 300;
#else
constexpr int kRepeats = 2000;
#endif

double cosine_times_norm(const float* w, const int16_t* p, int dimension) {
  double wp = 0, pp = 0;
  for (int i = 0; i < dimension; ++i) {
    wp += static_cast<double>(w[i]) * p[i];
    pp += static_cast<double>(p[i]) * p[i];
  }
  return wp / std::sqrt(pp);
}

// Groups that a search may stumble over, then random ones at several magnitudes.
std::vector<float> difficult_groups(int dimension, Random& random) {
  const float tiny = std::numeric_limits<float>::denorm_min(), huge = std::numeric_limits<float>::max();
  std::vector<float> groups;
  const auto add = [&](auto value) {
    for (int i = 0; i < dimension; ++i) groups.push_back(value(i));
  };
  add([](int) { return 0.0f; });
  add([](int) { return -0.0f; });
  add([](int) { return 1.0f; });
  add([](int) { return -0.1f; });
  add([](int i) { return i == 0 ? 3.0f : 0.0f; });
  add([=](int i) { return i == dimension - 1 ? -1e-20f : 0.0f; });
  add([](int i) { return i % 2 == 0 ? 1.0f : -1.0f; });
  add([](int i) { return i < 2 ? 5.0f : 0.0f; });
  add([](int i) { return static_cast<float>(i); });
  add([=](int) { return tiny; });
  add([=](int i) { return tiny * static_cast<float>(i + 1); });
  add([=](int i) { return i % 3 == 0 ? huge : -huge; });
  add([=](int i) { return i == 1 ? huge : tiny; });
  add([](int i) { return std::ldexp(1.0f, -8 * i); });
  add([](int i) { return 1 + 1e-7f * static_cast<float>(i); });
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const float scale = std::ldexp(1.0f, static_cast<int>(random.below(60)) - 30);
    add([&](int) { return random.gaussian() * scale; });
    // Few distinct values: ties.
    add([&](int) { return static_cast<float>(static_cast<int>(random.below(5)) - 2); });
    // Heavy tails.
    add([&](int) { return std::pow(random.gaussian(), 5.0f); });
  }
  return groups;
}

}  // namespace

TEST_CASE("the search finds the point that exhaustive search finds, or one very nearly as good") {
  const uint64_t seed = 11;
  INFO("seed ", seed);
  Random random(seed);
  for (auto [dimension, pulses] :
       {std::pair<int, int>{2, 1}, {2, 3}, {2, 9}, {4, 1}, {4, 4}, {4, 7}, {8, 2}, {8, 4}, {8, 5}}) {
    const PyramidCounts pyramid(dimension, pulses);
    const size_t groups = 300;
    std::vector<float> w = random.gaussians(groups * dimension);
    std::vector<int16_t> points(w.size());
    search_points(w.data(), groups, {dimension, pulses}, points.data());
    size_t optimal = 0;
    for (size_t g = 0; g < groups; ++g) {
      const float* group = w.data() + g * dimension;
      double best = 0;
      for (uint64_t index = 0; index < pyramid.count(); ++index) {
        int16_t candidate[32];
        pyramid.point_of(index, candidate);
        best = std::max(best, cosine_times_norm(group, candidate, dimension));
      }
      const double found = cosine_times_norm(group, points.data() + g * dimension, dimension);
      REQUIRE(found > 0.97 * best);
      if (found > best * (1 - 1e-5)) ++optimal;
    }
    INFO("D ", dimension, " K ", pulses);
    CHECK(optimal >= groups * 98 / 100);
  }
}

TEST_CASE("the search finds the Barnes-Wall point that exhaustive search finds, or one very nearly as good") {
  const uint64_t seed = 14;
  INFO("seed ", seed);
  Random random(seed);
  for (int pulses : {8, 10}) {
    const BarnesWallIndex index(pulses);
    const size_t groups = 200;
    const std::vector<float> w = random.gaussians(groups * 16);
    std::vector<int16_t> points(w.size());
    search_points(w.data(), groups, {16, pulses, Lattice::barnes_wall}, points.data());
    std::vector<double> best(groups, 0);
    for (uint64_t i = 0; i < index.count(); ++i) {
      int16_t candidate[16];
      index.point_of(i, candidate);
      float norm = 0;
      for (int16_t x : candidate) norm += static_cast<float>(x) * x;
      norm = std::sqrt(norm);
      for (size_t g = 0; g < groups; ++g) {
        float dot = 0;
        for (int k = 0; k < 16; ++k) dot += w[g * 16 + k] * candidate[k];
        best[g] = std::max(best[g], static_cast<double>(dot / norm));
      }
    }
    size_t optimal = 0;
    for (size_t g = 0; g < groups; ++g) {
      REQUIRE(index.contains(points.data() + g * 16));
      const double found = cosine_times_norm(w.data() + g * 16, points.data() + g * 16, 16);
      CHECK(found > 0.9 * best[g]);
      if (found > best[g] * (1 - 1e-5)) ++optimal;
    }
    INFO("K ", pulses);
    CHECK(optimal >= groups * 85 / 100);
  }
}

TEST_CASE("no single pulse move improves a point that the search returns") {
  const uint64_t seed = 12;
  INFO("seed ", seed);
  Random random(seed);
  for (auto [dimension, pulses] : {std::pair<int, int>{8, 12}, {8, 474}, {16, 24}, {16, 49}, {32, 21}}) {
    std::vector<float> w = random.gaussians(100 * dimension);
    std::vector<int16_t> points(w.size());
    search_points(w.data(), 100, {dimension, pulses}, points.data());
    for (int g = 0; g < 100; ++g) {
      const float* group = w.data() + g * dimension;
      int16_t* point = points.data() + g * dimension;
      double norm = 0;
      for (int i = 0; i < dimension; ++i) norm += static_cast<double>(group[i]) * group[i];
      // What is left of the group is what a move could reduce.
      const double found = cosine_times_norm(group, point, dimension), left = norm - found * found;
      for (int i = 0; i < dimension; ++i) {
        for (int j = 0; j < dimension; ++j) {
          if (i == j || point[i] == 0) continue;
          const int16_t from = point[i] > 0 ? 1 : -1, to = group[j] < 0 ? -1 : 1;
          point[i] -= from;
          point[j] += to;
          const double moved = cosine_times_norm(group, point, dimension);
          point[i] += from;
          point[j] -= to;
          REQUIRE(norm - moved * moved > left * (1 - 1e-3));
        }
      }
    }
  }
}

TEST_CASE("every instruction set returns the reference's points, their indices and projections bit for bit") {
  const uint64_t seed = 13;
  INFO("seed ", seed);
  Random random(seed);
  const auto barnes_wall = [](int pulses) { return Pyramid{16, pulses, Lattice::barnes_wall}; };
  for (const Pyramid& pyramid :
       {Pyramid{2, 1},   {2, 5},          {2, 32767},      {4, 9},          {4, 1000},      {4, 1001},
        {4, 5000},       {8, 1},          {8, 12},         {8, 25},         {8, 474},       {16, 11},
        {16, 24},        {16, 49},        {32, 1},         {32, 21},        barnes_wall(8), barnes_wall(10),
        barnes_wall(16), barnes_wall(18), barnes_wall(40), barnes_wall(82), barnes_wall(98)}) {
    const int dimension = pyramid.dimension;
    PyramidCache cache;
    const PvqCode code({1, dimension, pyramid.pulses, {1}, pyramid.lattice}, cache);
    const std::vector<float> groups = difficult_groups(dimension, random);
    const size_t count = groups.size() / dimension;
    std::vector<int16_t> expected(groups.size());
    search_points(groups.data(), count, pyramid, expected.data());
    std::vector<uint64_t> expected_indices(count);
    std::vector<double> expected_projections(count);
    find_points(groups.data(), count, pyramid, *code.points, expected_indices.data(), expected_projections.data());
    for (size_t g = 0; g < count; ++g) {
      const int16_t* point = expected.data() + g * dimension;
      REQUIRE(code.points->contains(point));
      CHECK(expected_indices[g] == code.points->index_of(point));
      CHECK(expected_projections[g] == doctest::Approx(cosine_times_norm(&groups[g * dimension], point, dimension)));
    }
    for (const PvqSearchKernel& kernel : pvq_search_kernels()) {
      if (kernel.instruction_set > supported_instruction_set()) continue;
      INFO(name_of(kernel.instruction_set), " D ", dimension, " K ", pyramid.pulses);
      for (size_t part : {count, size_t{1}, size_t{5}, size_t{17}, size_t{33}}) {
        std::vector<int16_t> points(part * dimension);
        kernel.search(groups.data(), part, pyramid, points.data());
        CHECK(std::memcmp(points.data(), expected.data(), points.size() * sizeof(int16_t)) == 0);
        std::vector<uint64_t> indices(part);
        std::vector<double> projections(part);
        kernel.find(groups.data(), part, pyramid, *code.points, indices.data(), projections.data());
        CHECK(std::memcmp(indices.data(), expected_indices.data(), part * sizeof(uint64_t)) == 0);
        CHECK(std::memcmp(projections.data(), expected_projections.data(), part * sizeof(double)) == 0);
      }
    }
  }
}

TEST_CASE("a group of zeros gets all its pulses in the last place") {
  const float zeros[8] = {};
  int16_t point[8];
  search_points(zeros, 1, {8, 5}, point);
  for (int i = 0; i < 8; ++i) CHECK(point[i] == (i == 7 ? 5 : 0));
}
