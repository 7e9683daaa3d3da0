#include "core/linalg/cholesky.h"

#include <algorithm>
#include <cmath>

#include "core/aligned_buffer.h"
#include "core/error.h"
#include "core/linalg/product.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

constexpr size_t kBlock = 96;
// Columns that are factored one after another, without products.
constexpr size_t kNarrow = 32;

// The Cholesky factor of a block, rows of kNarrow values, row by row.
void factor_block(double* block, size_t width) {
  for (size_t i = 0; i < width; ++i) {
    double* row = block + i * kNarrow;
    for (size_t j = 0; j <= i; ++j) {
      const double* other = block + j * kNarrow;
      double rest = row[j];
      for (size_t k = 0; k < j; ++k) rest -= row[k] * other[k];
      if (j < i) {
        row[j] = rest / other[j];
      } else if (rest > 0 && std::isfinite(rest)) {
        row[i] = std::sqrt(rest);
      } else {
        throw Error("INVALID_ARGUMENT", "the Hessian must be positive definite once the ridge is added");
      }
    }
  }
}

// The inverse of what factor_block left.
void invert_block(const double* block, size_t width, double* inverse) {
  std::fill_n(inverse, kNarrow * kNarrow, 0.0);
  for (size_t i = 0; i < width; ++i) {
    const double* row = block + i * kNarrow;
    double* to = inverse + i * kNarrow;
    for (size_t k = 0; k < i; ++k) {
      for (size_t j = 0; j <= k; ++j) to[j] -= row[k] * inverse[k * kNarrow + j];
    }
    for (size_t j = 0; j < i; ++j) to[j] /= row[i];
    to[i] = 1 / row[i];
  }
}

// Columns of L that are at most kNarrow, as factor_columns does: the rows below by the inverse of the block.
void factor_narrow(double* a, size_t n, size_t begin, size_t end, ThreadPool& pool) {
  const size_t width = end - begin, below = n - end;
  double block[kNarrow * kNarrow], inverse[kNarrow * kNarrow];
  for (size_t i = 0; i < width; ++i) std::copy_n(a + (begin + i) * n + begin, i + 1, block + i * kNarrow);
  factor_block(block, width);
  for (size_t i = 0; i < width; ++i) std::copy_n(block + i * kNarrow, i + 1, a + (begin + i) * n + begin);
  if (below == 0) return;
  invert_block(block, width, inverse);
  AlignedBuffer<double> rows(below * width);
  for (size_t i = 0; i < below; ++i) std::copy_n(a + (end + i) * n + begin, width, rows.data() + i * width);
  const MatrixView<const double> square(inverse, width, width, kNarrow, 1);
  product<double>({rows.data(), below, width}, square.transposed(), 1.0, false,
                  {a + end * n + begin, below, width, n, 1}, pool);
}

// Columns begin .. end - 1 of L; what the columns left of them contribute has been subtracted already.
void factor_columns(double* a, size_t n, size_t begin, size_t end, ThreadPool& pool) {
  const size_t width = end - begin, below = n - end;
  if (width <= kNarrow) return factor_narrow(a, n, begin, end, pool);
  const size_t middle = begin + (width / 2 + kNarrow - 1) / kNarrow * kNarrow, right = end - middle;
  factor_columns(a, n, begin, middle, pool);
  const MatrixView<const double> square(a + middle * n + begin, right, middle - begin, n, 1),
      rest(a + end * n + begin, below, middle - begin, n, 1);
  product<double>(square, square.transposed(), -1.0, true, {a + middle * n + middle, right, right, n, 1}, pool,
                  Part::lower);
  product<double>(rest, square.transposed(), -1.0, true, {a + end * n + middle, below, right, n, 1}, pool);
  factor_columns(a, n, middle, end, pool);
}

}  // namespace

// By halves of the columns: factor the left half, subtract what it contributes to the right one, factor that; so that
// nearly all of the work is in products that are as deep as wide (Toledo, Locality of reference in LU decomposition,
// 1997, for Cholesky factors).
void cholesky(double* a, size_t n, ThreadPool& pool) {
  if (n > 0) factor_columns(a, n, 0, n, pool);
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
    product<double>({x + begin, rows, end - begin, n, 1}, below.transposed(), -1.0, true, {x + end, rows, rest, n, 1},
                    pool);
  }
  solve_lower_from_right(lower, n, x, rows, pool);
}

}  // namespace pyramidion
