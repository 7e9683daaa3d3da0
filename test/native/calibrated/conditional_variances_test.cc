#include "core/calibrated/conditional_variances.h"

#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <vector>

#include "core/error.h"

using namespace pyramidion;

namespace {

constexpr uint32_t seed = 71;

// Random symmetric positive definite, with diagonal entries of all sizes in no order.
std::vector<double> random_hessian(size_t n, std::mt19937& random) {
  std::normal_distribution<double> normal;
  std::vector<double> factor(n * n), h(n * n, 0.0);
  for (double& value : factor) value = normal(random);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      for (size_t k = 0; k < n; ++k) h[i * n + j] += factor[i * n + k] * factor[j * n + k];
      const double scale = 1 + 3.0 * ((i * 5) % n), other = 1 + 3.0 * ((j * 5) % n);
      h[i * n + j] *= scale * other;
    }
  }
  return h;
}

// Schur complement of `given` by elimination: the covariance of all others once those are known.
std::vector<double> without(std::vector<double> h, size_t n, const std::vector<size_t>& given) {
  for (const size_t pivot : given) {
    for (size_t i = 0; i < n; ++i) {
      if (i == pivot) continue;
      const double share = h[i * n + pivot] / h[pivot * n + pivot];
      for (size_t j = 0; j < n; ++j) h[i * n + j] -= share * h[pivot * n + j];
    }
    for (size_t i = 0; i < n; ++i) h[i * n + pivot] = h[pivot * n + i] = 0;
    h[pivot * n + pivot] = 1;
  }
  return h;
}

}  // namespace

TEST_CASE("conditional variances are those of each column given the columns of smaller diagonal") {
  MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  ThreadPool pool(2);
  for (const size_t n : {12, 7, 1}) {
    const std::vector<double> h = random_hessian(n, random);
    const double ridge = 0.05;
    const std::vector<double> found = conditional_variances(h.data(), n, ridge, pool);
    double mean = 0;
    for (size_t i = 0; i < n; ++i) mean += h[i * n + i] / n;
    std::vector<double> ridged = h;
    for (size_t i = 0; i < n; ++i) ridged[i * n + i] += ridge * mean;
    for (size_t i = 0; i < n; ++i) {
      std::vector<size_t> later;
      for (size_t j = 0; j < n; ++j) {
        if (h[j * n + j] < h[i * n + i]) later.push_back(j);
      }
      CHECK(found[i] == doctest::Approx(without(ridged, n, later)[i * n + i]).epsilon(1e-9));
    }
  }
}

TEST_CASE("conditional variances of zeros are zero, and what is not finite is refused") {
  ThreadPool pool(1);
  const std::vector<double> zeros(9, 0.0);
  CHECK(conditional_variances(zeros.data(), 3, 0.01, pool) == std::vector<double>(3, 0.0));
  std::vector<double> broken(4, 1.0);
  broken[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(conditional_variances(broken.data(), 2, 0.01, pool), Error);
}
