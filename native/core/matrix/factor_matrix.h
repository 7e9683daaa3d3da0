// A factor of a low-rank correction: int8 values with one f16 scale for 16 columns of a row, the last block shorter.
#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix/encoded_matrix.h"

namespace pyramidion {

class FactorMatrix : public EncodedMatrix {
 public:
  static constexpr size_t kBlock = 16;

  static size_t blocks(size_t columns) { return (columns + kBlock - 1) / kBlock; }

  // values: rows x columns; scales: rows x blocks(columns); both copied.
  FactorMatrix(size_t rows, size_t columns, const int8_t* values, const uint16_t* scales)
      : EncodedMatrix(rows, columns),
        values_(values, values + rows * columns),
        scales_(scales, scales + rows * blocks(columns)) {}

  size_t bytes() const override { return values_.size() + 2 * scales_.size(); }
  void decode_rows(size_t first, size_t count, float* out, size_t stride) const override;

 private:
  std::vector<int8_t> values_;
  std::vector<uint16_t> scales_;
};

}  // namespace pyramidion
