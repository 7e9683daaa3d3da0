#include "core/linalg/symmetric.h"

namespace pyramidion {
namespace {

// Rows unpacked at a time.
constexpr size_t kRows = 64;

}  // namespace

void mirror_lower(double* matrix, size_t width, ThreadPool& pool) {
  for_lower_squares(width, pool, [=](size_t i, size_t j) { matrix[j * width + i] = matrix[i * width + j]; });
}

void unpack_lower(const float* packed, size_t width, double* matrix, ThreadPool& pool) {
  pool.parallel_for(width, kRows, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) std::copy_n(packed + i * (i + 1) / 2, i + 1, matrix + i * width);
  });
  mirror_lower(matrix, width, pool);
}

}  // namespace pyramidion
