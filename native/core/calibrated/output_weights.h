// Errors of a layer's outputs weighed by how much the loss depends on them: with G = E[g g'] for the gradients g at the
// outputs and H = E[x x'] of the inputs, the error D = W - Q of a matrix counts as tr(G D H D'), the Kronecker-factored
// model of the loss (K-FAC, arXiv 1503.05671; for rounding YAQA, arXiv 2505.22988).
#pragma once

#include <cstddef>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// With all of it the estimate of G, which is noisy and may be singular, would stand alone.
constexpr double kMostOutputShare = 0.9999;

// share * G / mean diagonal + (1 - share) I. hessian: G, rows x rows, symmetric positive semidefinite; share: from 0 to
// kMostOutputShare. Raises NOT_FINITE.
std::vector<double> damped_output_hessian(const double* hessian, size_t rows, double share);

// L, lower triangular, rows x rows, with L L' the damped G: tr(G D H D') is the error of L' D under H alone.
std::vector<double> output_factor(const double* hessian, size_t rows, double share, ThreadPool& pool);

// L' D for D rows x columns.
std::vector<float> weigh_outputs(const double* factor, const float* values, size_t rows, size_t columns,
                                 ThreadPool& pool);
// D from L' D.
std::vector<float> unweigh_outputs(const double* factor, const float* values, size_t rows, size_t columns,
                                   ThreadPool& pool);

}  // namespace pyramidion
