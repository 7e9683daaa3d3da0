#include "core/matrix/encoded_matrix.h"

#include <algorithm>
#include <vector>

namespace pyramidion {

void EncodedMatrix::prepare_vector(const float* x, float* prepared) const { std::copy_n(x, columns_, prepared); }

void EncodedMatrix::row_dots(size_t first, size_t count, const float* prepared, float* y) const {
  std::vector<float> row(columns_);
  for (size_t i = 0; i < count; ++i) {
    decode_rows(first + i, 1, row.data(), columns_);
    float sum = 0;
    for (size_t column = 0; column < columns_; ++column) sum += row[column] * prepared[column];
    y[i] = sum;
  }
}

}  // namespace pyramidion
