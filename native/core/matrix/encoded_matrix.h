// A weight matrix in some stored form, decoded a few rows at a time: what a product needs to know of a format.
#pragma once

#include <cstddef>

namespace pyramidion {

class EncodedMatrix {
 public:
  virtual ~EncodedMatrix() = default;

  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  // Bytes the stored form occupies.
  virtual size_t bytes() const = 0;

  // Rows [first, first + count) as floats, row r at out + (r - first) * stride; stride >= columns().
  // Thread-safe: several threads decode different rows at once.
  virtual void decode_rows(size_t first, size_t count, float* out, size_t stride) const = 0;

  // A vector in the order this format's row_dots wants it; the default keeps it as it is.
  // prepared has prepared_size() floats, 64-byte aligned.
  virtual size_t prepared_size() const { return columns_; }
  virtual void prepare_vector(const float* x, float* prepared) const;

  // y[i] = <row first + i, x> for i < count, decoding inside the product; x went through prepare_vector.
  // The default decodes one row at a time.
  virtual void row_dots(size_t first, size_t count, const float* prepared, float* y) const;

 protected:
  EncodedMatrix(size_t rows, size_t columns) : rows_(rows), columns_(columns) {}

 private:
  size_t rows_, columns_;
};

}  // namespace pyramidion
