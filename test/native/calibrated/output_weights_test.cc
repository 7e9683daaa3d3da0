#include "core/calibrated/output_weights.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/linalg/hessian.h"
#include "output_errors.h"

using namespace pyramidion;

TEST_CASE("the error of weighed outputs is the error under both Hessians, and weighing can be undone") {
  const uint64_t seed = 93;
  INFO("seed ", seed);
  Random random(seed);
  ThreadPool pool(2);
  const size_t rows = 70, columns = 33;
  const double share = 0.9;
  const std::vector<double> g = correlated(rows, 4, random), h = correlated(columns, 4, random);
  const std::vector<float> d = random.gaussians(rows * columns);
  const std::vector<double> factor = output_factor(g.data(), rows, share, pool);
  const std::vector<float> weighed = weigh_outputs(factor.data(), d.data(), rows, columns, pool);

  double trace = 0;
  for (size_t i = 0; i < rows; ++i) trace += g[i * rows + i];
  std::vector<double> damped(rows * rows);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < rows; ++j) damped[i * rows + j] = share * g[i * rows + j] * rows / trace;
    damped[i * rows + i] += 1 - share;
  }
  const double expected = two_sided_error(d, damped, h, rows, columns) / rows;
  CHECK(std::fabs(expected_error(weighed.data(), rows, columns, h.data(), pool) / expected - 1) < 1e-5);

  const std::vector<float> again = unweigh_outputs(factor.data(), weighed.data(), rows, columns, pool);
  for (size_t i = 0; i < d.size(); ++i) CHECK(std::fabs(again[i] - d[i]) < 1e-4);
}

TEST_CASE("outputs without gradients weigh alike, and what is not finite is refused") {
  ThreadPool pool(1);
  const std::vector<double> zeros(9, 0.0);
  const std::vector<float> d = {1, -2, 3}, weighed = weigh_outputs(output_factor(zeros.data(), 3, 0.9, pool).data(),
                                                                   d.data(), 3, 1, pool);
  for (size_t i = 0; i < 3; ++i) CHECK(std::fabs(weighed[i] - std::sqrt(0.1) * d[i]) < 1e-6);
  const std::vector<double> broken(9, std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_AS(output_factor(broken.data(), 3, 0.9, pool), Error);
}
