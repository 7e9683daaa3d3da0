// Group-wise integer rounding, the plain baseline: w = scale * (code - 2^(bits-1)) when symmetric, scale * code +
// minimum otherwise, with f16 scales and minimums, one for `group_size` columns of a row.
#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix/encoded_matrix.h"
#include "core/parallel/thread_pool.h"

namespace pyramidion {

struct IntegerSettings {
  unsigned bits;  // 1 to 8
  size_t group_size;
  bool symmetric;

  size_t groups(size_t columns) const { return (columns + group_size - 1) / group_size; }
};

// codes: rows of small codes, each starting on a byte. scales, minimums: rows x groups; no minimums when symmetric.
struct IntegerRows {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> scales, minimums;
};

// For each group the scale (and minimum) with the least squared error among clipped ranges, each refitted by least
// squares to the codes it gives. values: rows x columns, finite.
IntegerRows encode_integer_rows(const float* values, size_t rows, size_t columns, const IntegerSettings& settings,
                                ThreadPool& pool);

class IntegerMatrix : public EncodedMatrix {
 public:
  IntegerMatrix(size_t rows, size_t columns, const IntegerSettings& settings, IntegerRows stored)
      : EncodedMatrix(rows, columns), settings_(settings), stored_(std::move(stored)) {}

  size_t bytes() const override { return stored_.codes.size() + 2 * (stored_.scales.size() + stored_.minimums.size()); }
  void decode_rows(size_t first, size_t count, float* out, size_t stride) const override;

 private:
  IntegerSettings settings_;
  IntegerRows stored_;
};

}  // namespace pyramidion
