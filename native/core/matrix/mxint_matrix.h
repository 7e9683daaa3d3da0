// MXINT block formats as LQER (arXiv 2402.02446, section 4.1) uses them: each value a sign and a magnitude in `bits`
// bits, `block_size` values of a row sharing an 8-bit exponent: w = sign * magnitude * 2^(exponent - 127). A code's top
// bit is the sign, 1 for negative.
#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix/encoded_matrix.h"
#include "core/parallel/thread_pool.h"

namespace pyramidion {

struct MxintSettings {
  unsigned bits;  // 2 to 8
  size_t block_size;

  size_t blocks(size_t columns) const { return (columns + block_size - 1) / block_size; }
  // The largest magnitude a code holds.
  float largest_code() const { return static_cast<float>((1 << (bits - 1)) - 1); }
  // Of a block whose largest magnitude is `largest`, which is finite: value = code * 2^exponent. -127 to 127.
  int exponent(float largest) const;
};

// codes: rows of small codes, each starting on a byte. exponents: rows x blocks.
struct MxintRows {
  std::vector<uint8_t> codes, exponents;
};

// The exponent places a block's largest value in the top half of the magnitudes; values round to the nearest and the
// largest are clamped. values: rows x columns, finite.
MxintRows encode_mxint_rows(const float* values, size_t rows, size_t columns, const MxintSettings& settings,
                            ThreadPool& pool);

class MxintMatrix : public EncodedMatrix {
 public:
  MxintMatrix(size_t rows, size_t columns, const MxintSettings& settings, MxintRows stored)
      : EncodedMatrix(rows, columns), settings_(settings), stored_(std::move(stored)) {}

  size_t bytes() const override { return stored_.codes.size() + stored_.exponents.size(); }
  void decode_rows(size_t first, size_t count, float* out, size_t stride) const override;

 private:
  MxintSettings settings_;
  MxintRows stored_;
};

}  // namespace pyramidion
