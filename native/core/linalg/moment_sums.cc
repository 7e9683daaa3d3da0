#include "core/linalg/moment_sums.h"

#include <algorithm>

#include "core/aligned_buffer.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Rows of the sums a turn, a multiple of 12, which the product kernels' blocks of rows divide: their products are added
// up while they are in a core's caches.
constexpr size_t kBlock = 48;

// block[t][i] = left_t[first + i] for i < rows.
void gather(const MomentSamples& left, size_t width, size_t first, size_t rows, size_t count, float* block) {
  for (size_t t = 0; t < count; ++t, block += kBlock) {
    const float* values = left.values + t * width + first;
    const float weight = left.weights == nullptr ? 1 : left.weights[t];
    if (left.minus == nullptr) {
      for (size_t i = 0; i < rows; ++i) block[i] = weight * values[i];
    } else {
      const float* minus = left.minus + t * width + first;
      for (size_t i = 0; i < rows; ++i) block[i] = weight * (values[i] - minus[i]);
    }
  }
}

}  // namespace

void add_moments(const MomentSamples& left, size_t rows, const float* right, size_t columns, size_t count, Part part,
                 double* sums, ThreadPool& pool) {
  const ProductKernels<float>& product = float_kernels().f32;
  const size_t panels = (columns + product.panel - 1) / product.panel;
  AlignedBuffer<float> packed(panels * product.panel * count);
  pool.parallel_for(panels, 4, [&](size_t first, size_t last) {
    const size_t column = first * product.panel;
    product.pack(right + column, 1, columns, std::min(columns, last * product.panel) - column, count,
                 packed.data() + column * count);
  });
  const size_t blocks = (rows + kBlock - 1) / kBlock;
  pool.parallel_for(blocks, 1, [&](size_t begin, size_t end) {
    AlignedBuffer<float> block(kBlock * count), moments(kBlock * columns);
    for (size_t turn = begin; turn < end; ++turn) {
      // The last rows of a triangle are the longest: start with them.
      const size_t first = (blocks - 1 - turn) * kBlock, last = std::min(rows, first + kBlock);
      const size_t width = part == Part::lower ? last : columns;
      gather(left, rows, first, last - first, count, block.data());
      product.multiply(block.data(), 1, kBlock, last - first, packed.data(), width, count, 1, false, moments.data(),
                       width, 1);
      for (size_t i = first; i < last; ++i) {
        const float* row = moments.data() + (i - first) * width;
        const size_t used = part == Part::lower ? i + 1 : columns;
        for (size_t j = 0; j < used; ++j) sums[i * columns + j] += static_cast<double>(row[j]);
      }
    }
  });
}

}  // namespace pyramidion
