#include "core/linalg/singular_values.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "core/linalg/product.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Directions followed beyond the wanted ones: the more, the faster the wanted ones converge.
size_t sketch_size(size_t rank, size_t most) { return std::min(most, rank + std::max<size_t>(12, rank / 2)); }

constexpr int kMostIterations = 24;
// The iteration ends when the share of the matrix's energy in the sketch grows by less than this.
constexpr double kEnergyTolerance = 1e-4;

double energy(const std::vector<double>& values) {
  return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
}

// Makes the rows (count x length) orthonormal by Gram-Schmidt, each row projected twice, and returns the lower
// triangular C with rows_before = C rows_after. A row that depends on those before it becomes zero.
std::vector<double> orthonormalise(std::vector<double>& rows, size_t count, size_t length) {
  const ProductKernels<double>& kernels = float_kernels().f64;
  std::vector<double> coefficients(count * count);
  for (size_t i = 0; i < count; ++i) {
    double* row = rows.data() + i * length;
    const double before = std::sqrt(kernels.dot(row, row, length));
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t j = 0; j < i; ++j) {
        const double* other = rows.data() + j * length;
        const double overlap = kernels.dot(row, other, length);
        kernels.add_scaled(-overlap, other, row, length);
        coefficients[i * count + j] += overlap;
      }
    }
    const double norm = std::sqrt(kernels.dot(row, row, length));
    const bool independent = norm > 1e-13 * before && norm > 0;
    coefficients[i * count + i] = independent ? norm : 0.0;
    for (size_t k = 0; k < length; ++k) row[k] = independent ? row[k] / norm : 0.0;
  }
  return coefficients;
}

// One-sided Jacobi (Golub and Van Loan, section 8.6.3): rotates pairs of the rows of a (n x n) until all are
// orthogonal, and the rows of `rotations`, the identity at first, along: afterwards a_before = rotations^T a.
void jacobi(std::vector<double>& a, std::vector<double>& rotations, size_t n) {
  const auto dot = float_kernels().f64.dot;
  const auto rotate = [n](double* x, double* y, double c, double s) {
    for (size_t k = 0; k < n; ++k) {
      const double left = c * x[k] - s * y[k], right = s * x[k] + c * y[k];
      x[k] = left;
      y[k] = right;
    }
  };
  bool rotated = true;
  for (int sweep = 0; rotated && sweep < 60; ++sweep) {
    rotated = false;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = i + 1; j < n; ++j) {
        double *x = a.data() + i * n, *y = a.data() + j * n;
        const double xx = dot(x, x, n), yy = dot(y, y, n), xy = dot(x, y, n);
        if (std::fabs(xy) <= 1e-13 * std::sqrt(xx * yy) || xy == 0) continue;
        rotated = true;
        const double tau = (yy - xx) / (2 * xy);
        const double t = std::copysign(1.0, tau) / (std::fabs(tau) + std::sqrt(1 + tau * tau));
        const double c = 1 / std::sqrt(1 + t * t);
        rotate(x, y, c, c * t);
        rotate(rotations.data() + i * n, rotations.data() + j * n, c, c * t);
      }
    }
  }
}

}  // namespace

SingularValues leading_singular_values(const double* matrix, size_t rows, size_t columns, size_t rank,
                                       ThreadPool& pool) {
  const MatrixView<const double> g(matrix, rows, columns);
  const size_t size = sketch_size(rank, std::min(rows, columns));
  // Bases are kept as rows: `left` spans the range of G, `right` that of G^T.
  std::vector<double> left(size * rows), right(size * columns);
  std::mt19937_64 generator(20241016);
  std::normal_distribution<double> normal;
  for (double& value : right) value = normal(generator);

  std::vector<double> coefficients;
  double captured = 0;
  for (int iteration = 0; iteration < kMostIterations; ++iteration) {
    product<double>(MatrixView<const double>(right.data(), size, columns), g.transposed(), 1.0, false,
                    {left.data(), size, rows}, pool);
    orthonormalise(left, size, rows);
    product<double>(MatrixView<const double>(left.data(), size, rows), g, 1.0, false, {right.data(), size, columns},
                    pool);
    const double now = energy(right);
    // left^T (C right) is now the projection of G on the sketch.
    coefficients = orthonormalise(right, size, columns);
    if (now <= captured * (1 + kEnergyTolerance)) break;
    captured = now;
  }

  // C = W^T D with W orthogonal and the rows of D orthogonal, so G ~ (W left)^T (D right).
  std::vector<double> rotations(size * size);
  for (size_t i = 0; i < size; ++i) rotations[i * size + i] = 1;
  jacobi(coefficients, rotations, size);
  std::vector<double> norms(size);
  for (size_t i = 0; i < size; ++i) {
    double* row = coefficients.data() + i * size;
    norms[i] = std::sqrt(float_kernels().f64.dot(row, row, size));
    for (size_t k = 0; k < size && norms[i] > 0; ++k) row[k] /= norms[i];
  }
  std::vector<size_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return norms[i] > norms[j]; });

  std::vector<double> wanted_left(rank * size), wanted_right(rank * size);
  SingularValues result{std::vector<double>(rank), std::vector<double>(rank * rows),
                        std::vector<double>(rank * columns)};
  for (size_t i = 0; i < rank; ++i) {
    result.values[i] = norms[order[i]];
    std::copy_n(rotations.data() + order[i] * size, size, wanted_left.data() + i * size);
    std::copy_n(coefficients.data() + order[i] * size, size, wanted_right.data() + i * size);
  }
  product<double>(MatrixView<const double>(wanted_left.data(), rank, size),
                  MatrixView<const double>(left.data(), size, rows), 1.0, false, {result.left.data(), rank, rows},
                  pool);
  product<double>(MatrixView<const double>(wanted_right.data(), rank, size),
                  MatrixView<const double>(right.data(), size, columns), 1.0, false,
                  {result.right.data(), rank, columns}, pool);
  return result;
}

}  // namespace pyramidion
