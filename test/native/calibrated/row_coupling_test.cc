#include "core/calibrated/row_coupling.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "../pvq/random.h"
#include "core/calibrated/guided_encoder.h"
#include "core/pvq/gain_levels.h"
#include "core/pvq/pvq_matrix.h"
#include "cpu/pvq_search/dispatch.h"
#include "output_errors.h"

using namespace pyramidion;

TEST_CASE("row coupling: waves hold every row once, and shifts leave the least error that rows to come can reach") {
  const uint64_t seed = 91;
  INFO("seed ", seed);
  Random random(seed);
  ThreadPool pool(2);
  const size_t rows = 75;
  const std::vector<double> g = correlated(rows, 3, random);
  const double share = 0.75;
  const RowCoupling coupling(g.data(), rows, share, pool);
  std::set<size_t> seen;
  for (size_t place = 0; place < rows; ++place) seen.insert(coupling.row_at(place));
  CHECK(seen.size() == rows);
  REQUIRE(coupling.waves() == 3);

  double mean = 0;
  for (size_t i = 0; i < rows; ++i) mean += g[i * rows + i] / rows;
  const auto at = [&](size_t i, size_t j) {
    return share / mean * g[coupling.row_at(i) * rows + coupling.row_at(j)] + (i == j ? 1 - share : 0);
  };
  // With one column and errors in the first two waves, the last wave's errors of least  d' G d  are minus its shifts,
  // so there the gradient G d is zero.
  const size_t last = coupling.first_of(2);
  std::vector<float> errors = random.gaussians(rows), shifts(rows - last);
  coupling.shifts(2, errors.data(), 1, shifts.data(), pool);
  for (size_t i = last; i < rows; ++i) errors[i] = -shifts[i - last];
  for (size_t i = last; i < rows; ++i) {
    double gradient = 0, size = 0;
    for (size_t j = 0; j < rows; ++j) {
      gradient += at(i, j) * errors[j];
      size += std::fabs(at(i, j) * errors[j]);
    }
    CHECK(std::fabs(gradient) < 1e-5 * size);
  }
}

TEST_CASE("rounding with coupled rows lowers the error under both Hessians, and is the same on every instruction set") {
  const uint64_t seed = 92;
  INFO("seed ", seed);
  Random random(seed);
  ThreadPool pool(2);
  PyramidCache cache;
  const size_t rows = 130, columns = 96;
  const ProjectionLaw law({8, 12}, columns, pvq_search_kernel().search);
  const auto layout =
      std::make_shared<const PvqLayout>(columns, std::vector<PvqSegment>{{columns, 8, 12, law.levels(7)}}, cache);
  const std::vector<double> g = correlated(rows, 4, random), h = correlated(columns, 4, random);
  std::vector<float> values = random.gaussians(rows * columns);
  // A row of zeros disturbs no other.
  std::fill_n(values.begin() + 5 * columns, columns, 0.0f);
  const auto error = [&](const PvqRows& encoded) {
    std::vector<float> d(rows * columns);
    PvqMatrix(rows, *layout, encoded.codes.data(), encoded.row_scale.data()).decode_rows(0, rows, d.data(), columns);
    for (size_t i = 0; i < d.size(); ++i) d[i] = values[i] - d[i];
    return two_sided_error(d, g, h, rows, columns);
  };
  const RowCoupling coupling(g.data(), rows, 0.99, pool);
  const GuidedPlan plan(h.data(), layout, {}, pool);
  const double alone = error(plan.encode(values.data(), rows, pool, JobControl()));
  const PvqRows coupled = plan.encode(values.data(), rows, coupling, pool, JobControl());
  CHECK(error(coupled) < 0.7 * alone);
  CHECK(coupled.row_scale[5] == 0);
  for (const GuidedKernel& kernel : guided_kernels()) {
    if (kernel.instruction_set > instruction_set()) continue;
    CHECK(plan.encode(values.data(), rows, coupling, pool, JobControl(), KernelSweeps(kernel)).codes == coupled.codes);
  }
}
