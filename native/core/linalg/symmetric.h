// Symmetric matrices, width x width, whose lower triangle is known.
#pragma once

#include <algorithm>
#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// body(i, j) for all j <= i < width, a square of 32 rows and columns after the other, so that what lies across the
// diagonal is in a core's caches too.
template <class Body>
void for_lower_squares(size_t width, ThreadPool& pool, Body body) {
  constexpr size_t square = 32;
  pool.parallel_for(width, square, [&](size_t begin, size_t end) {
    for (size_t first = 0; first < end; first += square) {
      for (size_t i = begin; i < end; ++i) {
        for (size_t j = first; j < std::min(first + square, i + 1); ++j) body(i, j);
      }
    }
  });
}

// Makes the upper triangle what the lower is.
void mirror_lower(double* matrix, size_t width, ThreadPool& pool);

// packed: the rows of the lower triangle one behind the other, width (width + 1) / 2 values.
void unpack_lower(const float* packed, size_t width, double* matrix, ThreadPool& pool);

}  // namespace pyramidion
