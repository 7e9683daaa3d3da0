#include "core/linalg/symmetric.h"

#include <algorithm>

namespace pyramidion {
namespace {

// Rows and columns of a square that is mirrored while it is in a core's caches.
constexpr size_t kSquare = 32;
constexpr size_t kRows = 64;

}  // namespace

void mirror_lower(double* matrix, size_t width, ThreadPool& pool) {
  pool.parallel_for(width, kSquare, [&](size_t begin, size_t end) {
    for (size_t first = 0; first < end; first += kSquare) {
      for (size_t i = begin; i < end; ++i) {
        const size_t last = std::min(first + kSquare, i);
        for (size_t j = first; j < last; ++j) matrix[j * width + i] = matrix[i * width + j];
      }
    }
  });
}

void unpack_lower(const float* packed, size_t width, double* matrix, ThreadPool& pool) {
  pool.parallel_for(width, kRows, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) std::copy_n(packed + i * (i + 1) / 2, i + 1, matrix + i * width);
  });
  mirror_lower(matrix, width, pool);
}

}  // namespace pyramidion
