// Low-rank corrections of a quantization error E: factors B (rows x rank) and A (rank x columns) with B A close to E,
// in the norm of a scaling (design section 7; LQER, arXiv 2402.02446; QERA, ICLR 2025).
#pragma once

#include <cstddef>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

struct LowRankFactors {
  std::vector<float> a, b;
};

// lqer: SVD_r(E) = U S V^T, B = U S, A = V^T.
LowRankFactors low_rank_factors(const float* error, size_t rows, size_t columns, size_t rank, ThreadPool& pool);

// l2qer: the same for E diag(scale), A = V^T diag(scale)^-1. scale: columns positive values.
LowRankFactors low_rank_factors_diagonal(const float* error, size_t rows, size_t columns, size_t rank,
                                         const double* scale, ThreadPool& pool);

// qera: the same for E M, M M^T = H + ridge * mean(diagonal of H) * I by Cholesky, A = V^T M^-1; it minimises the
// expected output error. hessian: columns x columns, symmetric. Raises INVALID_ARGUMENT when not positive definite.
LowRankFactors low_rank_factors_hessian(const float* error, size_t rows, size_t columns, size_t rank,
                                        const double* hessian, double ridge, ThreadPool& pool);

}  // namespace pyramidion
