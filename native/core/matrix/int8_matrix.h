// Rows of int8 with one scale for 32 columns, the numbers of GGUF's q8_0 with the scales as floats in an array of their
// own. A vector is multiplied in 16 bits (its largest magnitude becomes 32767, an error of 2^-16 of that a value), with
// exact sums for each 32.
#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix/encoded_matrix.h"
#include "core/parallel/thread_pool.h"

namespace pyramidion {

class Int8Matrix : public EncodedMatrix {
 public:
  static constexpr size_t kBlock = 32, kBlockBytes = 34;

  // blocks: rows x columns / 32 of q8_0, an f16 scale and 32 int8 each; copied. columns is a multiple of 32.
  Int8Matrix(size_t rows, size_t columns, const uint8_t* blocks);

  size_t bytes() const override { return values_.size() + sizeof(float) * scales_.size(); }
  void decode_rows(size_t first, size_t count, float* out, size_t stride) const override;
  // A float of scale, which is NaN for a vector that is not finite, then from the next cache line on its values as
  // int16.
  size_t prepared_size() const override { return kPreparedHead + columns() / 2; }
  void prepare_vector(const float* x, float* prepared) const override;
  void row_dots(size_t first, size_t count, const float* prepared, float* y) const override;

 private:
  static constexpr size_t kPreparedHead = 16;

  size_t row_blocks() const { return columns() / kBlock; }

  std::vector<int8_t> values_;
  std::vector<float> scales_;
};

// The rows of a matrix, whose columns are a multiple of 32, as blocks of q8_0: the scale is the largest magnitude over
// 127, values are rounded to its multiples. A block that holds what is not finite gets the scale NaN.
std::vector<uint8_t> encode_int8_blocks(const EncodedMatrix& matrix, ThreadPool& pool);

}  // namespace pyramidion
