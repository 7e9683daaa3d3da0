#include "core/linalg/low_rank.h"

#include "core/linalg/cholesky.h"
#include "core/linalg/product.h"
#include "core/linalg/singular_values.h"

namespace pyramidion {
namespace {

// scaled: E times the scaling. unscale(right) multiplies the rows of V^T by the scaling's inverse, in place.
template <class Unscale>
LowRankFactors factors_of(const std::vector<double>& scaled, size_t rows, size_t columns, size_t rank, ThreadPool& pool,
                          Unscale unscale) {
  SingularValues leading = leading_singular_values(scaled.data(), rows, columns, rank, pool);
  unscale(leading.right);
  LowRankFactors factors{std::vector<float>(leading.right.begin(), leading.right.end()),
                         std::vector<float>(rows * rank)};
  for (size_t row = 0; row < rows; ++row) {
    for (size_t k = 0; k < rank; ++k) {
      factors.b[row * rank + k] = static_cast<float>(leading.left[k * rows + row] * leading.values[k]);
    }
  }
  return factors;
}

}  // namespace

LowRankFactors low_rank_factors(const float* error, size_t rows, size_t columns, size_t rank, ThreadPool& pool) {
  const std::vector<double> scaled(error, error + rows * columns);
  return factors_of(scaled, rows, columns, rank, pool, [](std::vector<double>&) {});
}

LowRankFactors low_rank_factors_diagonal(const float* error, size_t rows, size_t columns, size_t rank,
                                         const double* scale, ThreadPool& pool) {
  std::vector<double> scaled(error, error + rows * columns);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) scaled[row * columns + column] *= scale[column];
  }
  return factors_of(scaled, rows, columns, rank, pool, [&](std::vector<double>& right) {
    for (size_t i = 0; i < right.size(); ++i) right[i] /= scale[i % columns];
  });
}

LowRankFactors low_rank_factors_hessian(const float* error, size_t rows, size_t columns, size_t rank,
                                        const double* hessian, double ridge, ThreadPool& pool) {
  std::vector<double> factor(hessian, hessian + columns * columns);
  double trace = 0;
  for (size_t i = 0; i < columns; ++i) trace += factor[i * columns + i];
  for (size_t i = 0; i < columns; ++i) factor[i * columns + i] += ridge * trace / static_cast<double>(columns);
  cholesky(factor.data(), columns, pool);
  const std::vector<double> wide(error, error + rows * columns);
  std::vector<double> scaled(rows * columns);
  product<double>(MatrixView<const double>(wide.data(), rows, columns),
                  MatrixView<const double>(factor.data(), columns, columns), 1.0, false, {scaled.data(), rows, columns},
                  pool);
  return factors_of(scaled, rows, columns, rank, pool, [&](std::vector<double>& right) {
    solve_lower_from_right(factor.data(), columns, right.data(), rank, pool);
  });
}

}  // namespace pyramidion
