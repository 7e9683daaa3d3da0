// What an approximation leaves.
#pragma once

#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// Sums of squares of values before and after an approximation was taken from them.
struct ResidualSquares {
  double before = 0, after = 0;
};

// values -= approximation. The same bits for any number of threads.
ResidualSquares subtract(float* values, const float* approximation, size_t count, ThreadPool& pool);

}  // namespace pyramidion
