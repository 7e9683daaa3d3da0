// Gradients of the small operations between a transformer's layers, threaded over rows. "Gradient" is that of one scalar,
// the loss, with respect to the values named.
#pragma once

#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// For y = rms_norm(x, weight): from the gradient at y that at x, rows x width each; out may be the gradient. With
// r = (mean(x^2) + epsilon)^-1/2 it is r (weight gradient - r^2 mean(weight gradient x) x).
void rms_norm_backward(const float* x, const float* weight, size_t width, float epsilon, size_t rows,
                       const float* gradient, float* out, ThreadPool& pool);

// The gradient at the weight of y = rms_norm(x, weight), for that at y, added to out (width values).
void rms_norm_weight_gradient(const float* x, size_t width, float epsilon, size_t rows, const float* gradient,
                              double* out, ThreadPool& pool);

// For y = silu(gate) * up: gate and up become the gradients at themselves, given that at y.
void silu_multiply_backward(float* gate, float* up, const float* gradient, size_t count, ThreadPool& pool);

}  // namespace pyramidion
