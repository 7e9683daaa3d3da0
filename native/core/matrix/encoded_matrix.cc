#include "core/matrix/encoded_matrix.h"

#include <algorithm>

#include "core/aligned_buffer.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {

void EncodedMatrix::prepare_vector(const float* x, float* prepared) const { std::copy_n(x, columns_, prepared); }

void EncodedMatrix::row_dots(size_t first, size_t count, const float* prepared, float* y) const {
  AlignedBuffer<float> row(columns_);
  for (size_t i = 0; i < count; ++i) {
    decode_rows(first + i, 1, row.data(), columns_);
    y[i] = float_kernels().f32.dot(row.data(), prepared, columns_);
  }
}

}  // namespace pyramidion
