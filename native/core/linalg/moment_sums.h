// Sums of outer products: multiplied in single precision, a tile of samples at a time, and added up in double.
#pragma once

#include <cstddef>

#include "core/linalg/product.h"

namespace pyramidion {

// Vectors, one behind the other.
struct MomentSamples {
  const float* values;
  // Null, or what is taken from them first: vectors of the same kind.
  const float* minus = nullptr;
  // Null for ones: one a vector.
  const float* weights = nullptr;
};

// sums (rows x columns) += sum_t left_t right_t^T over `count` samples; left: count x rows, right: count x columns.
// Part::lower: of square sums the lower triangle alone. The same bits for any number of threads.
void add_moments(const MomentSamples& left, size_t rows, const float* right, size_t columns, size_t count, Part part,
                 double* sums, ThreadPool& pool);

}  // namespace pyramidion
