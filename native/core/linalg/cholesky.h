// The Cholesky factor of a symmetric positive definite matrix, and solving with it.
#pragma once

#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// Replaces the lower triangle of a (n x n, row-major; the upper triangle is not read) by L with L L^T = a, and the
// upper triangle by zeros. Raises INVALID_ARGUMENT when a is not positive definite.
void cholesky(double* a, size_t n, ThreadPool& pool);

// Replaces each of the `rows` rows v of x (rows x n) by v L^-1, L lower triangular, n x n.
void solve_lower_from_right(const double* lower, size_t n, double* x, size_t rows, ThreadPool& pool);

// The same for v (L L^T)^-1, with the factor of cholesky().
void solve_from_right(const double* lower, size_t n, double* x, size_t rows, ThreadPool& pool);

}  // namespace pyramidion
