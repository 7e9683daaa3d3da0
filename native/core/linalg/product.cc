#include "core/linalg/product.h"

#include <algorithm>

#include "core/aligned_buffer.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// A panel of b this deep stays in a core's caches.
constexpr size_t kDepth = 512;
// Rows of c a turn: a multiple of 12, which the kernels' blocks divide.
constexpr size_t kRows = 48;

template <class T>
const ProductKernels<T>& kernels_for();
template <>
const ProductKernels<float>& kernels_for() {
  return float_kernels().f32;
}
template <>
const ProductKernels<double>& kernels_for() {
  return float_kernels().f64;
}

// Whether rows of `a` are to be copied: where they are not whole, and where they are powers of two apart, values that
// are used together would push each other out of the caches.
template <class T>
bool to_gather(const MatrixView<const T>& a) {
  return a.column_stride != 1 || (a.rows > 1 && a.row_stride * sizeof(T) % 1024 == 0);
}

constexpr size_t gathered_row(size_t depth) { return depth + 16; }

// `a` with its columns one after another where they were apart, and otherwise with its rows a little apart.
template <class T>
MatrixView<const T> gather(const MatrixView<const T>& a, T* buffer) {
  if (a.column_stride == 1) {
    const size_t stride = gathered_row(a.columns);
    for (size_t i = 0; i < a.rows; ++i) std::copy_n(a.data + i * a.row_stride, a.columns, buffer + i * stride);
    return {buffer, a.rows, a.columns, stride, 1};
  }
  for (size_t k = 0; k < a.columns; ++k) {
    for (size_t i = 0; i < a.rows; ++i) buffer[k * kRows + i] = a.data[i * a.row_stride + k * a.column_stride];
  }
  return {buffer, a.rows, a.columns, 1, kRows};
}

}  // namespace

template <class T>
void product(MatrixView<const T> a, MatrixView<const T> b, T factor, bool accumulate, MatrixView<T> c, ThreadPool& pool,
             Part part) {
  const ProductKernels<T>& kernels = kernels_for<T>();
  const size_t panel = kernels.panel, panels = (b.columns + panel - 1) / panel;
  AlignedBuffer<T> packed(panels * panel * std::min(kDepth, b.rows));
  for (size_t begin = 0; begin < a.columns; begin += kDepth) {
    const size_t depth = std::min(kDepth, a.columns - begin);
    pool.parallel_for(panels, 4, [&](size_t first, size_t last) {
      const size_t columns = std::min(b.columns, last * panel) - first * panel;
      kernels.pack(b.data + begin * b.row_stride + first * panel * b.column_stride, b.column_stride, b.row_stride,
                   columns, depth, packed.data() + first * panel * depth);
    });
    pool.parallel_for(a.rows, kRows, [&](size_t first, size_t last) {
      const size_t columns = part == Part::all ? b.columns : last;
      AlignedBuffer<T> gathered(to_gather(a) ? kRows * gathered_row(depth) : 0);
      MatrixView<const T> left(a.data + first * a.row_stride + begin * a.column_stride, last - first, depth,
                               a.row_stride, a.column_stride);
      if (to_gather(a)) left = gather(left, gathered.data());
      kernels.multiply(left.data, left.row_stride, left.column_stride, left.rows, packed.data(), columns, depth, factor,
                       accumulate || begin > 0, c.data + first * c.row_stride, c.row_stride, c.column_stride);
    });
  }
}

template void product(MatrixView<const float>, MatrixView<const float>, float, bool, MatrixView<float>, ThreadPool&,
                      Part);
template void product(MatrixView<const double>, MatrixView<const double>, double, bool, MatrixView<double>, ThreadPool&,
                      Part);

}  // namespace pyramidion
