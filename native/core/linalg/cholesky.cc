#include "core/linalg/cholesky.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/linalg/product.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

constexpr size_t kBlock = 96;

// Row by row, the diagonal block at `begin`; what lies left of it has been subtracted already.
void factor_block(double* a, size_t n, size_t begin, size_t end) {
  const auto dot = float_kernels().f64.dot;
  for (size_t i = begin; i < end; ++i) {
    double* row = a + i * n;
    for (size_t j = begin; j < i; ++j) {
      const double* other = a + j * n;
      row[j] = (row[j] - dot(row + begin, other + begin, j - begin)) / other[j];
    }
    const double pivot = row[i] - dot(row + begin, row + begin, i - begin);
    if (!(pivot > 0) || !std::isfinite(pivot)) {
      throw Error("INVALID_ARGUMENT", "the Hessian must be positive definite once the ridge is added");
    }
    row[i] = std::sqrt(pivot);
  }
}

}  // namespace

// Right-looking by blocks: factor the diagonal block, solve for the panel below it, subtract the panel's outer product
// from what is to come (Golub and Van Loan, Matrix Computations, section 4.2).
void cholesky(double* a, size_t n, ThreadPool& pool) {
  const auto dot = float_kernels().f64.dot;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = std::min(n, begin + kBlock), rest = n - end;
    factor_block(a, n, begin, end);
    pool.parallel_for(rest, 16, [&](size_t first, size_t last) {
      for (size_t i = end + first; i < end + last; ++i) {
        double* row = a + i * n;
        for (size_t j = begin; j < end; ++j) {
          const double* other = a + j * n;
          row[j] = (row[j] - dot(row + begin, other + begin, j - begin)) / other[j];
        }
      }
    });
    const MatrixView<const double> panel(a + end * n + begin, rest, end - begin, n, 1);
    product<double>(panel, panel.transposed(), -1.0, true, {a + end * n + end, rest, rest, n, 1}, pool, Part::lower);
  }
  for (size_t i = 0; i < n; ++i) std::fill(a + i * n + i + 1, a + (i + 1) * n, 0.0);
}

// By blocks of columns, the last first: x_j = (v_j - sum over k > j of x_k L_kj) L_jj^-1.
void solve_lower_from_right(const double* lower, size_t n, double* x, size_t rows, ThreadPool& pool) {
  const auto add_scaled = float_kernels().f64.add_scaled;
  for (size_t end = n; end > 0;) {
    const size_t begin = (end - 1) / kBlock * kBlock;
    pool.parallel_for(rows, 4, [&](size_t first, size_t last) {
      for (size_t row = first; row < last; ++row) {
        double* v = x + row * n;
        for (size_t i = end; i-- > begin;) {
          v[i] /= lower[i * n + i];
          add_scaled(-v[i], lower + i * n + begin, v + begin, i - begin);
        }
      }
    });
    product<double>({x + begin, rows, end - begin, n, 1}, {lower + begin * n, end - begin, begin, n, 1}, -1.0, true,
                    {x, rows, begin, n, 1}, pool);
    end = begin;
  }
}

// Forwards for v L^-T, x_j = (v_j - sum over k < j of x_k L_jk^T) L_jj^-T, then backwards.
void solve_from_right(const double* lower, size_t n, double* x, size_t rows, ThreadPool& pool) {
  const auto dot = float_kernels().f64.dot;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = std::min(n, begin + kBlock), rest = n - end;
    pool.parallel_for(rows, 4, [&](size_t first, size_t last) {
      for (size_t row = first; row < last; ++row) {
        double* v = x + row * n;
        for (size_t i = begin; i < end; ++i) {
          const double* factors = lower + i * n;
          v[i] = (v[i] - dot(v + begin, factors + begin, i - begin)) / factors[i];
        }
      }
    });
    const MatrixView<const double> below(lower + end * n + begin, rest, end - begin, n, 1);
    product<double>({x + begin, rows, end - begin, n, 1}, below.transposed(), -1.0, true, {x + end, rows, rest, n, 1}, pool);
  }
  solve_lower_from_right(lower, n, x, rows, pool);
}

}  // namespace pyramidion
