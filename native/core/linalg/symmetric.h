// Symmetric matrices, width x width, whose lower triangle is known.
#pragma once

#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// Makes the upper triangle what the lower is.
void mirror_lower(double* matrix, size_t width, ThreadPool& pool);

// packed: the rows of the lower triangle one behind the other, width (width + 1) / 2 values.
void unpack_lower(const float* packed, size_t width, double* matrix, ThreadPool& pool);

}  // namespace pyramidion
