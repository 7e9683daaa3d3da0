#include "core/calibrated/output_weights.h"

#include <cmath>

#include "core/error.h"
#include "core/linalg/cholesky.h"
#include "core/linalg/product.h"

namespace pyramidion {

std::vector<double> damped_output_hessian(const double* hessian, size_t rows, double share) {
  double mean = 0;
  for (size_t i = 0; i < rows; ++i) mean += hessian[i * rows + i] / static_cast<double>(rows);
  if (!std::isfinite(mean) || mean < 0)
    throw Error("NOT_FINITE", "output hessian must be finite with a positive diagonal");
  std::vector<double> damped(rows * rows);
  if (mean > 0) {
    for (size_t i = 0; i < rows * rows; ++i) damped[i] = share / mean * hessian[i];
  }
  for (size_t i = 0; i < rows; ++i) damped[i * rows + i] += 1 - share;
  return damped;
}

std::vector<double> output_factor(const double* hessian, size_t rows, double share, ThreadPool& pool) {
  std::vector<double> factor = damped_output_hessian(hessian, rows, share);
  cholesky(factor.data(), rows, pool);
  return factor;
}

std::vector<float> weigh_outputs(const double* factor, const float* values, size_t rows, size_t columns,
                                 ThreadPool& pool) {
  const std::vector<float> single(factor, factor + rows * rows);
  std::vector<float> weighed(rows * columns);
  product<float>(MatrixView<const float>(single.data(), rows, rows).transposed(),
                 MatrixView<const float>(values, rows, columns), 1.0f, false, {weighed.data(), rows, columns}, pool);
  return weighed;
}

std::vector<float> unweigh_outputs(const double* factor, const float* values, size_t rows, size_t columns,
                                   ThreadPool& pool) {
  std::vector<double> transposed(rows * columns);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      transposed[column * rows + row] = values[row * columns + column];
    }
  }
  solve_lower_from_right(factor, rows, transposed.data(), columns, pool);
  std::vector<float> unweighed(rows * columns);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      unweighed[row * columns + column] = static_cast<float>(transposed[column * rows + row]);
    }
  }
  return unweighed;
}

}  // namespace pyramidion
