#include "core/calibrated/conditional_variances.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/linalg/cholesky.h"

namespace pyramidion {

std::vector<double> conditional_variances(const double* hessian, size_t n, double ridge, ThreadPool& pool) {
  double mean = 0;
  for (size_t i = 0; i < n; ++i) mean += hessian[i * n + i] / static_cast<double>(n);
  if (!std::isfinite(mean) || mean < 0) throw Error("NOT_FINITE", "hessian must be finite with a positive diagonal");
  std::vector<double> variances(n, 0.0);
  if (mean == 0) return variances;

  // From the last column to be rounded to the first: the lower factor in this order is R with both orders reversed.
  std::vector<size_t> columns(n);
  std::iota(columns.begin(), columns.end(), size_t{0});
  std::stable_sort(columns.begin(), columns.end(),
                   [&](size_t a, size_t b) { return hessian[a * n + a] < hessian[b * n + b]; });
  std::vector<double> factor(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) factor[i * n + j] = hessian[columns[i] * n + columns[j]];
    factor[i * n + i] += ridge * mean;
  }
  cholesky(factor.data(), n, pool);
  for (size_t i = 0; i < n; ++i) variances[columns[i]] = factor[i * n + i] * factor[i * n + i];
  return variances;
}

}  // namespace pyramidion
