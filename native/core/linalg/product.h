// Matrix products on strided views, threaded over tiles of the result.
#pragma once

#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// element(i, j) = data[i * row_stride + j * column_stride]
template <class T>
struct MatrixView {
  T* data;
  size_t rows, columns, row_stride, column_stride;

  MatrixView(T* data, size_t rows, size_t columns)
      : data(data), rows(rows), columns(columns), row_stride(columns), column_stride(1) {}
  MatrixView(T* data, size_t rows, size_t columns, size_t row_stride, size_t column_stride)
      : data(data), rows(rows), columns(columns), row_stride(row_stride), column_stride(column_stride) {}

  MatrixView transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

// Which elements of the result are computed: all, or (of a square result) at least those with column <= row.
enum class Part { all, lower };

// c = factor * a b, or c += factor * a b when `accumulate`. c does not overlap a or b. Each element is summed in one
// order whatever the number of threads.
template <class T>
void product(MatrixView<const T> a, MatrixView<const T> b, T factor, bool accumulate, MatrixView<T> c, ThreadPool& pool,
             Part part = Part::all);

}  // namespace pyramidion
