// What error feedback leaves of each column's share in the expected error. With H = R R', R upper triangular in rounding order,
// the error d of a row costs d H d' = sum_j R_jj^2 e_j^2, where e_j is what rounding adds to the target of column j: errors of
// variance v cost v sum_j R_jj^2. R_jj^2 is the variance of column j, given all columns still to come. Rounding by groups with
// their metrics, and sweeps, come within a few percent of this.
#pragma once

#include <cstddef>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// Of each column, in its place. hessian: n x n, symmetric positive semidefinite; its columns are taken by decreasing diagonal, and
// ridge is added to the diagonal, as a share of its mean. Zeros for a matrix of zeros. Throws NOT_FINITE, or INVALID_ARGUMENT when
// H plus ridge is not positive definite.
std::vector<double> conditional_variances(const double* hessian, size_t n, double ridge, ThreadPool& pool);

}  // namespace pyramidion
