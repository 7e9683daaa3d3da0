#include "core/pvq/gain_levels.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/pvq/pyramid_search.h"
#include "cpu/pvq_search/dispatch.h"
#include "random.h"

using namespace pyramidion;

namespace {

// Projections of Gaussian groups, and the relative squared error that is left with the given levels.
double simulated_error(const Pyramid& pyramid, const std::vector<float>& levels, Random& random) {
  const int dimension = pyramid.dimension;
  const size_t count = 400000 / dimension;
  const std::vector<float> w = random.gaussians(count * dimension);
  std::vector<int16_t> points(w.size());
  pvq_search_kernel().search(w.data(), count, pyramid, points.data());
  double error = 0, norm = 0;
  for (size_t g = 0; g < count; ++g) {
    double wp = 0, pp = 0, ww = 0;
    for (int i = 0; i < dimension; ++i) {
      const double value = w[g * dimension + i], p = points[g * dimension + i];
      wp += value * p;
      pp += p * p;
      ww += value * value;
    }
    const double projection = wp / std::sqrt(pp);
    double best = 1e300;
    for (float level : levels) best = std::min(best, (projection - level) * (projection - level));
    error += ww - projection * projection + best;
    norm += ww;
  }
  return error / norm;
}

}  // namespace

TEST_CASE("levels reach on Gaussian weights the error they promise, which is that of the design's table") {
  const uint64_t seed = 21;
  INFO("seed ", seed);
  Random random(seed);
  struct Setting {
    int dimension, pulses;
    size_t levels;
    double error;
    Lattice lattice = Lattice::integer;
  };
  // Design section 3; its figures have four decimals.
  for (const Setting& s : {Setting{8, 6, 2, 0.1061},
                           {16, 11, 3, 0.0994},
                           {8, 9, 3, 0.0531},
                           {16, 17, 3, 0.0503},
                           {8, 12, 7, 0.0273},
                           {16, 24, 7, 0.0249},
                           {8, 15, 6, 0.0195},
                           {16, 29, 7, 0.0178},
                           {8, 25, 13, 0.0068},
                           {16, 49, 14, 0.0063},
                           {16, 20, 2, 0.0903, Lattice::barnes_wall},
                           {16, 28, 5, 0.0455, Lattice::barnes_wall},
                           {16, 40, 8, 0.0228, Lattice::barnes_wall},
                           {16, 48, 9, 0.0161, Lattice::barnes_wall},
                           {16, 82, 14, 0.0058, Lattice::barnes_wall}}) {
    INFO("D ", s.dimension, " K ", s.pulses, " L ", s.levels);
    const Pyramid pyramid = {s.dimension, s.pulses, s.lattice};
    const ProjectionLaw law(pyramid, 1 << 20, pvq_search_kernel().search);
    const std::vector<float> levels = law.levels(s.levels);
    const double simulated = simulated_error(pyramid, levels, random);
    CHECK(law.relative_error(levels) == doctest::Approx(simulated).epsilon(0.015));
    CHECK(std::fabs(simulated - s.error) < 0.01 * s.error + 0.00005);
  }
}

TEST_CASE("no level can be moved to lower the error") {
  for (size_t count : {1, 2, 7, 40}) {
    const ProjectionLaw law({8, 12}, 576, pvq_search_kernel().search);
    const std::vector<float> levels = law.levels(count);
    REQUIRE(levels.size() == count);
    CHECK(std::is_sorted(levels.begin(), levels.end()));
    const double error = law.relative_error(levels);
    for (size_t l = 0; l < count; ++l) {
      for (float step : {-0.01f, 0.01f}) {
        std::vector<float> moved = levels;
        moved[l] += step;
        CHECK(law.relative_error(moved) >= error);
      }
    }
  }
}

TEST_CASE("levels are the same whichever instruction set simulates them") {
  const std::vector<float> expected = ProjectionLaw({16, 24}, 576, search_points).levels(7);
  for (const PvqSearchKernel& kernel : pvq_search_kernels()) {
    if (kernel.instruction_set > supported_instruction_set()) continue;
    CHECK(ProjectionLaw({16, 24}, 576, kernel.search).levels(7) == expected);
  }
}

TEST_CASE("rows of one group or less have levels just below the norm, which is then known") {
  for (size_t row_length : {1, 3, 7, 8}) {
    const std::vector<float> levels = ProjectionLaw({8, 30}, row_length, pvq_search_kernel().search).levels(3);
    for (float level : levels) {
      CHECK(level <= std::sqrt(static_cast<float>(row_length)) * 1.0001f);
      CHECK(level >= std::sqrt(static_cast<float>(row_length)) * 0.95f);
    }
  }
}

TEST_CASE("levels stay positive, finite and ascending at the edges of the settings") {
  for (auto [dimension, pulses, count, row_length] : {std::tuple<int, int, size_t, size_t>{2, 1, 1, 2},
                                                      {2, 1, 4096, 3},
                                                      {2, 32767, 300, 100000},
                                                      {32, 1, 64, 33},
                                                      {8, 474, 200, 9},
                                                      {16, 24, 7, 17}}) {
    INFO("D ", dimension, " K ", pulses, " L ", count, " n ", row_length);
    const ProjectionLaw law({dimension, pulses}, row_length, pvq_search_kernel().search);
    const std::vector<float> levels = law.levels(count);
    CHECK(levels.size() == static_cast<size_t>(count));
    CHECK(std::is_sorted(levels.begin(), levels.end()));
    for (float level : levels) CHECK((std::isfinite(level) && level > 0));
    CHECK(law.relative_error(levels) < 1);
  }
}
