// Matrices as checkpoints store them: float types and the block formats of GGUF, row after row.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/matrix/encoded_matrix.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {

struct DenseFormat {
  const char* name;
  // Values and bytes of a block; columns are a multiple of the former.
  size_t block_values, block_bytes;
  BlockDecoder FloatKernels::*decoder;

  size_t row_bytes(size_t columns) const { return columns / block_values * block_bytes; }
};

// The format called f32, f16, bf16, q8_0, q4_0, q4_1, q4_k or q6_k; null when there is none.
const DenseFormat* find_dense_format(const std::string& name);

class DenseMatrix : public EncodedMatrix {
 public:
  // bytes: rows x format.row_bytes(columns), copied.
  DenseMatrix(const DenseFormat& format, size_t rows, size_t columns, const uint8_t* bytes);

  size_t bytes() const override { return data_.size(); }
  void decode_rows(size_t first, size_t count, float* out, size_t stride) const override;
  // Of f16, several rows at once.
  void row_dots(size_t first, size_t count, const float* prepared, float* y) const override;

 private:
  const DenseFormat& format_;
  std::vector<uint8_t> data_;
};

}  // namespace pyramidion
