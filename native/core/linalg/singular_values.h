// Leading singular values and vectors of a dense matrix by randomised subspace iteration (Halko, Martinsson, Tropp,
// SIAM Review 2011, algorithms 4.4 and 5.1).
#pragma once

#include <cstddef>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// matrix ~ sum_i left_i values_i right_i^T, largest first.
struct SingularValues {
  // rank values; rank x rows and rank x columns, orthonormal rows (zero where the matrix has a lower rank).
  std::vector<double> values, left, right;
};

// matrix: rows x columns, row-major; 1 <= rank <= min(rows, columns). The same input gives the same result.
SingularValues leading_singular_values(const double* matrix, size_t rows, size_t columns, size_t rank,
                                       ThreadPool& pool);

}  // namespace pyramidion
