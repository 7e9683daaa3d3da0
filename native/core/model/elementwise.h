// The small operations between a transformer's layers, on rows of floats, threaded over rows.
#pragma once

#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// out = x / sqrt(mean(x^2) + epsilon) * weight, on rows of `width` values; out may be x (RMSNorm, arXiv 1910.07467).
void rms_norm(const float* x, const float* weight, size_t width, float epsilon, size_t rows, float* out,
              ThreadPool& pool);

// Rotary embedding in place (arXiv 2104.09864), half-split order: values i and i + half of a head are one pair.
// x: tokens x heads x 2 half; cosine, sine: tokens x half.
void rotary(float* x, size_t tokens, size_t heads, size_t half, const float* cosine, const float* sine,
            ThreadPool& pool);

// out = silu(gate) * up; out may be either.
void silu_multiply(const float* gate, const float* up, float* out, size_t count, ThreadPool& pool);

// out[row] = sum of the squares of a row of `width` values.
void row_squared_norms(const float* x, size_t width, size_t rows, float* out, ThreadPool& pool);

// x += y
void add_in_place(float* x, const float* y, size_t count, ThreadPool& pool);

}  // namespace pyramidion
