#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "../random_inputs.h"
#include "core/error.h"
#include "core/linalg/cholesky.h"
#include "core/linalg/drift.h"
#include "core/linalg/hessian.h"
#include "core/linalg/low_rank.h"
#include "core/linalg/product.h"
#include "core/linalg/singular_values.h"

using namespace pyramidion;

namespace {

using Doubles = std::vector<double>;

Doubles widened(const std::vector<float>& values) { return Doubles(values.begin(), values.end()); }

// a (m x k) times b (k x n), one sum at a time.
Doubles multiplied(const Doubles& a, const Doubles& b, size_t m, size_t k, size_t n) {
  Doubles c(m * n);
  for (size_t i = 0; i < m; ++i) {
    for (size_t t = 0; t < k; ++t) {
      for (size_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + t] * b[t * n + j];
    }
  }
  return c;
}

Doubles transposed(const Doubles& a, size_t rows, size_t columns) {
  Doubles t(a.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) t[j * rows + i] = a[i * columns + j];
  }
  return t;
}

double largest_difference(const Doubles& a, const Doubles& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(a[i] - b[i]));
  return largest;
}

double squared_norm(const Doubles& a) {
  double sum = 0;
  for (double value : a) sum += value * value;
  return sum;
}

// All eigenvalues of a symmetric matrix, largest first, by cyclic Jacobi rotations.
Doubles eigenvalues(Doubles a, size_t n) {
  for (int sweep = 0; sweep < 30; ++sweep) {
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        if (a[p * n + q] == 0) continue;
        const double theta = 0.5 * std::atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]);
        const double c = std::cos(theta), s = std::sin(theta);
        for (size_t k = 0; k < n; ++k) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
        for (size_t k = 0; k < n; ++k) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
      }
    }
  }
  Doubles values(n);
  for (size_t i = 0; i < n; ++i) values[i] = a[i * n + i];
  std::sort(values.rbegin(), values.rend());
  return values;
}

// A positive definite matrix of unequal diagonal.
Doubles positive_definite(size_t n, uint64_t seed) {
  Doubles root = widened(RandomInputs(seed).normal(n * n));
  for (size_t i = 0; i < n * n; ++i) root[i] *= 1.0 + static_cast<double>(i / n % 7);
  Doubles matrix = multiplied(root, transposed(root, n, n), n, n, n);
  for (size_t i = 0; i < n; ++i) matrix[i * n + i] += 1;
  return matrix;
}

}  // namespace

TEST_CASE("products of any shape and stride equal plain sums, for any number of threads") {
  for (size_t threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    uint64_t seed = 1;
    for (size_t m : {1, 5, 13, 49, 130}) {
      for (size_t k : {1, 7, 256, 513}) {
        for (size_t n : {1, 31, 33, 100}) {
          CAPTURE(++seed);
          ;
          RandomInputs inputs(seed);
          const Doubles a = widened(inputs.normal(m * k)), b = widened(inputs.normal(k * n));
          const Doubles expected = multiplied(a, b, m, k, n);
          Doubles c(m * n, 0.5);
          product<double>(MatrixView<const double>(a.data(), m, k), MatrixView<const double>(b.data(), k, n), 2.0, true,
                          {c.data(), m, n}, pool);
          for (double& value : c) value = (value - 0.5) / 2;
          CHECK(largest_difference(c, expected) < 1e-11);
          // (a b)^T = b^T a^T through transposed views, in float.
          const std::vector<float> af(a.begin(), a.end()), bf(b.begin(), b.end());
          std::vector<float> t(m * n);
          product<float>(MatrixView<const float>(bf.data(), k, n).transposed(),
                         MatrixView<const float>(af.data(), m, k).transposed(), 1.0f, false, {t.data(), n, m}, pool);
          CHECK(largest_difference(transposed(widened(t), n, m), expected) < 1e-3);
        }
      }
    }
  }
}

TEST_CASE("the Cholesky factor is lower triangular and its square is the matrix") {
  for (size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    for (size_t n : {1, 2, 5, 31, 32, 33, 97, 250}) {
      CAPTURE(n);
      ;
      const Doubles matrix = positive_definite(n, n);
      Doubles factor = matrix;
      // The upper triangle is not read.
      for (size_t i = 0; i < n; ++i) std::fill(factor.begin() + i * n + i + 1, factor.begin() + (i + 1) * n, NAN);
      cholesky(factor.data(), n, pool);
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = i + 1; j < n; ++j) REQUIRE(factor[i * n + j] == 0);
      }
      CHECK(largest_difference(multiplied(factor, transposed(factor, n, n), n, n, n), matrix) < 1e-8 * matrix[0] * n);
    }
  }
}

TEST_CASE("a matrix that is not positive definite has no Cholesky factor") {
  ThreadPool pool(1);
  Doubles matrix = {1, 2, 2, 1};
  CHECK_THROWS_AS(cholesky(matrix.data(), 2, pool), Error);
  Doubles not_a_number = {NAN};
  CHECK_THROWS_AS(cholesky(not_a_number.data(), 1, pool), Error);
}

TEST_CASE("solving from the right undoes a product with a lower triangular matrix") {
  ThreadPool pool(2);
  const size_t n = 53, rows = 7;
  Doubles lower = positive_definite(n, 3);
  cholesky(lower.data(), n, pool);
  const Doubles x = widened(RandomInputs(4).normal(rows * n));
  Doubles solved = multiplied(x, lower, rows, n, n);
  solve_lower_from_right(lower.data(), n, solved.data(), rows, pool);
  CHECK(largest_difference(solved, x) < 1e-8);
}

TEST_CASE("leading singular values agree with a dense decomposition, and their vectors are orthonormal") {
  ThreadPool pool(3);
  const size_t shapes[][3] = {{40, 30, 5}, {30, 40, 30}, {1, 9, 1}, {9, 1, 1}, {90, 61, 12}};
  for (const auto& [rows, columns, rank] : shapes) {
    for (bool decaying : {false, true}) {
      INFO(rows, ", ", columns, ", ", rank, ", ", decaying);
      Doubles matrix = widened(RandomInputs(rows * 100 + columns).normal(rows * columns));
      for (size_t i = 0; decaying && i < matrix.size(); ++i)
        matrix[i] *= std::pow(0.7, static_cast<double>(i % columns));
      const SingularValues found = leading_singular_values(matrix.data(), rows, columns, rank, pool);
      const Doubles squares =
          eigenvalues(multiplied(transposed(matrix, rows, columns), matrix, columns, rows, columns), columns);
      double energy = 0, best = 0;
      for (size_t i = 0; i < rank; ++i) {
        // Values of a flat spectrum converge slowest; what matters is the energy below.
        CHECK(found.values[i] == doctest::Approx(std::sqrt(std::max(0.0, squares[i]))).epsilon(decaying ? 1e-6 : 1e-2));
        energy += found.values[i] * found.values[i];
        best += squares[i];
      }
      CHECK(energy <= best * (1 + 1e-9));
      CHECK(energy >= best * (1 - 1e-3));
      const Doubles gram = multiplied(found.left, transposed(found.left, rank, rows), rank, rows, rank);
      const Doubles gram_right = multiplied(found.right, transposed(found.right, rank, columns), rank, columns, rank);
      for (size_t i = 0; i < rank * rank; ++i) {
        const double expected = i % (rank + 1) == 0 ? 1 : 0;
        REQUIRE(std::fabs(gram[i] - expected) < 1e-9);
        REQUIRE(std::fabs(gram_right[i] - expected) < 1e-9);
      }
    }
  }
}

TEST_CASE("a matrix of low rank is recovered, and the zero matrix has zero factors") {
  ThreadPool pool(2);
  const size_t rows = 33, columns = 47, rank = 4;
  RandomInputs inputs(9);
  const Doubles matrix =
      multiplied(widened(inputs.normal(rows * 3)), widened(inputs.normal(3 * columns)), rows, 3, columns);
  const std::vector<float> error(matrix.begin(), matrix.end());
  const LowRankFactors factors = low_rank_factors(error.data(), rows, columns, rank, pool);
  const Doubles back = multiplied(widened(factors.b), widened(factors.a), rows, rank, columns);
  CHECK(largest_difference(back, matrix) < 1e-5);
  const std::vector<float> zero(rows * columns);
  for (float value : low_rank_factors(zero.data(), rows, columns, rank, pool).b) REQUIRE(value == 0);
}

TEST_CASE("diagonal scaling moves the correction to the columns that count") {
  ThreadPool pool(2);
  const size_t rows = 20, columns = 31, rank = 3;
  const std::vector<float> error = RandomInputs(11).normal(rows * columns);
  Doubles scale(columns, 1.0);
  scale[5] = scale[17] = 1e4;
  const LowRankFactors factors = low_rank_factors_diagonal(error.data(), rows, columns, rank, scale.data(), pool);
  const Doubles back = multiplied(widened(factors.b), widened(factors.a), rows, rank, columns);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column : {5, 17}) {
      CHECK(back[row * columns + column] == doctest::Approx(error[row * columns + column]).epsilon(1e-3));
    }
  }
}

TEST_CASE("hessian factors minimise the expected output error: no other scaling does better") {
  ThreadPool pool(2);
  const size_t rows = 24, columns = 40, rank = 6;
  const std::vector<float> error = RandomInputs(12).normal(rows * columns);
  const Doubles hessian = positive_definite(columns, 13);
  const auto left = [&](const LowRankFactors& factors) {
    const Doubles back = multiplied(widened(factors.b), widened(factors.a), rows, rank, columns);
    std::vector<float> rest(error);
    for (size_t i = 0; i < rest.size(); ++i) rest[i] -= static_cast<float>(back[i]);
    return expected_error(rest.data(), rows, columns, hessian.data(), pool);
  };
  const double before = expected_error(error.data(), rows, columns, hessian.data(), pool);
  const double qera = left(low_rank_factors_hessian(error.data(), rows, columns, rank, hessian.data(), 0, pool));
  Doubles diagonal(columns);
  for (size_t i = 0; i < columns; ++i) diagonal[i] = std::sqrt(hessian[i * columns + i]);
  const double l2qer = left(low_rank_factors_diagonal(error.data(), rows, columns, rank, diagonal.data(), pool));
  const double lqer = left(low_rank_factors(error.data(), rows, columns, rank, pool));
  CHECK(qera < l2qer);
  CHECK(qera < lqer);
  // What is left is exactly what the discarded singular values of E M hold.
  Doubles factor = hessian;
  cholesky(factor.data(), columns, pool);
  const Doubles scaled = multiplied(widened(error), factor, rows, columns, columns);
  const Doubles squares = eigenvalues(multiplied(scaled, transposed(scaled, rows, columns), rows, columns, rows), rows);
  double discarded = 0;
  for (size_t i = rank; i < rows; ++i) discarded += squares[i];
  CHECK(qera == doctest::Approx(discarded / rows).epsilon(1e-3));
  CHECK(before == doctest::Approx(squared_norm(scaled) / rows).epsilon(1e-9));
}

TEST_CASE("a Hessian is the weighted mean outer product, the same bits however its tokens are split over calls") {
  const size_t shapes[][2] = {{67, 1100}, {1, 700}, {48, 512}, {130, 40}};
  for (const auto& [width, tokens] : shapes) {
    for (bool weighted : {false, true}) {
      INFO(width, ", ", tokens, ", ", weighted);
      RandomInputs inputs(21);
      const std::vector<float> x = inputs.normal(tokens * width);
      std::vector<float> weights = inputs.normal(tokens);
      for (float& weight : weights) weight *= weight;
      const float* given = weighted ? weights.data() : nullptr;
      std::vector<Doubles> means;
      for (size_t threads : {1, 3}) {
        ThreadPool pool(threads);
        Hessian whole(width), split(width);
        whole.add(x.data(), given, tokens, pool);
        for (size_t first = 0, count = 1; first < tokens;
             first += count, count = std::min<size_t>(count * 3, tokens - first)) {
          split.add(x.data() + first * width, weighted ? given + first : nullptr, count, pool);
          // Asking in between changes nothing.
          split.mean(pool);
        }
        CHECK(whole.tokens() == tokens);
        CHECK(split.tokens() == tokens);
        means.push_back(whole.mean(pool));
        means.push_back(split.mean(pool));
        // The statistic of magnitudes is a maximum over calls, so a split can only raise it.
        const Doubles magnitude = whole.mean_magnitude(), raised = split.mean_magnitude();
        for (size_t column = 0; column < width; ++column) {
          double mean = 0;
          for (size_t token = 0; token < tokens; ++token) {
            mean += std::fabs(static_cast<double>(x[token * width + column])) / static_cast<double>(tokens);
          }
          CHECK(magnitude[column] == doctest::Approx(mean).epsilon(1e-12));
          CHECK(raised[column] >= magnitude[column]);
        }
      }
      for (const Doubles& mean : means) CHECK(mean == means[0]);
      Doubles scaled = widened(x);
      for (size_t i = 0; i < scaled.size(); ++i) scaled[i] *= weighted ? weights[i / width] : 1;
      Doubles expected = multiplied(transposed(scaled, tokens, width), widened(x), width, tokens, width);
      for (double& value : expected) value /= static_cast<double>(tokens);
      for (size_t i = 0; i < width; ++i) {
        for (size_t j = 0; j < width; ++j) {
          const double scale = std::sqrt(expected[i * width + i] * expected[j * width + j]);
          REQUIRE(std::fabs(means[0][i * width + j] - expected[i * width + j]) < 2e-6 * scale);
        }
      }
    }
  }
}

TEST_CASE("a Hessian without tokens has no mean") {
  ThreadPool pool(1);
  CHECK_THROWS_AS(Hessian(3).mean(pool), Error);
}

TEST_CASE("solving with a Cholesky factor inverts the matrix, for any size and number of threads") {
  for (size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    uint64_t seed = 600;
    for (size_t n : {1, 2, 95, 96, 97, 250}) {
      for (size_t rows : {1, 3, 40}) {
        CAPTURE(++seed);
        const Doubles matrix = positive_definite(n, seed);
        const Doubles expected = widened(RandomInputs(seed).normal(rows * n));
        Doubles factor = matrix, solution = multiplied(expected, matrix, rows, n, n);
        cholesky(factor.data(), n, pool);
        solve_from_right(factor.data(), n, solution.data(), rows, pool);
        CHECK(largest_difference(solution, expected) < 1e-8);
        Doubles half = multiplied(expected, factor, rows, n, n);
        solve_lower_from_right(factor.data(), n, half.data(), rows, pool);
        CHECK(largest_difference(half, expected) < 1e-8);
      }
    }
  }
}

TEST_CASE("the moment of a drift is E[(x - y) z^T], whatever the batches, and finds the map behind it") {
  const size_t width = 37, input_width = 21, tokens = 1200;
  RandomInputs inputs(700);
  const std::vector<float> y = inputs.normal(tokens * width), z = inputs.normal(tokens * input_width);
  const Doubles map = widened(inputs.normal(width * input_width));
  const Doubles drift = multiplied(widened(z), transposed(map, width, input_width), tokens, input_width, width);
  std::vector<float> x(y);
  for (size_t i = 0; i < x.size(); ++i) x[i] += static_cast<float>(drift[i]);
  const Doubles expected = multiplied(transposed(drift, tokens, width), widened(z), width, tokens, input_width);
  for (size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    for (size_t batch : {size_t{1}, size_t{100}, tokens}) {
      CAPTURE(batch);
      DriftMoment moment(width, input_width);
      for (size_t first = 0; first < tokens; first += batch) {
        const size_t count = std::min(batch, tokens - first);
        moment.add(&x[first * width], &y[first * width], &z[first * input_width], count, pool);
      }
      CHECK(moment.tokens() == tokens);
      const Doubles mean = moment.mean();
      for (size_t i = 0; i < mean.size(); ++i) CHECK(mean[i] == doctest::Approx(expected[i] / tokens).epsilon(1e-4));

      Hessian hessian(input_width);
      hessian.add(z.data(), nullptr, tokens, pool);
      const std::vector<float> found =
          ridge_regression(mean.data(), width, hessian.mean(pool).data(), input_width, 1e-9, pool);
      CHECK(largest_difference(widened(found), map) < 1e-4);
      const std::vector<float> shrunk = ridge_regression(mean.data(), width, hessian.mean(pool).data(), input_width, 1, pool);
      CHECK(squared_norm(widened(shrunk)) < 0.5 * squared_norm(map));
    }
    DriftMoment none(width, input_width);
    CHECK_THROWS_AS(none.mean(), Error);
  }
}
