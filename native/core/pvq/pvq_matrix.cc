#include "core/pvq/pvq_matrix.h"

#include <cmath>
#include <string>

#include "core/error.h"
#include "core/matrix/half.h"

namespace pyramidion {

PvqMatrix::PvqMatrix(size_t rows, PvqLayout layout, const uint8_t* codes, const uint16_t* row_scale, InstructionSet set)
    : EncodedMatrix(rows, layout.columns), layout_(std::move(layout)) {
  codes_.reserve(rows * layout_.row_bytes + pvq_read_ahead);
  codes_.assign(codes, codes + rows * layout_.row_bytes);
  codes_.resize(codes_.size() + pvq_read_ahead, 0);
  // The copy is checked, not the original, which another thread may be able to change.
  const int64_t invalid = first_invalid_row(layout_, codes_.data(), rows);
  if (invalid >= 0) {
    throw Error("INVALID_ARGUMENT", "codes must be below levels x N(dimension, pulses) and their padding zero; row " +
                                        std::to_string(invalid) + " is not");
  }
  for (size_t row = 0; row < rows; ++row) {
    row_scale_.push_back(half_to_float(row_scale[row]));
    if (!std::isfinite(row_scale_.back())) {
      throw Error("INVALID_ARGUMENT", "rowScale must be finite, got " + std::to_string(row_scale_.back()) + " in row " +
                                          std::to_string(row));
    }
  }
  for (const PvqCode& code : layout_.codes) kernels_.push_back(&pvq_decode_kernel(code, set));
}

size_t PvqMatrix::bytes() const { return codes_.size() + row_scale_.size() * sizeof(float); }

void PvqMatrix::decode_rows(size_t first, size_t count, float* out, size_t stride) const {
  for (size_t row = first; row < first + count; ++row, out += stride) {
    const uint8_t* codes = codes_.data() + row * layout_.row_bytes;
    float* segment = out;
    for (size_t s = 0; s < kernels_.size(); ++s) {
      const PvqCode& code = layout_.codes[s];
      kernels_[s]->decode(code, codes, row_scale_[row], segment);
      codes += code.bytes;
      segment += code.columns;
    }
  }
}

size_t PvqMatrix::prepared_size() const {
  size_t size = 0;
  for (size_t s = 0; s < kernels_.size(); ++s) size += kernels_[s]->prepared_size(layout_.codes[s]);
  return size;
}

void PvqMatrix::prepare_vector(const float* x, float* prepared) const {
  for (size_t s = 0; s < kernels_.size(); ++s) {
    kernels_[s]->prepare(layout_.codes[s], x, prepared);
    x += layout_.codes[s].columns;
    prepared += kernels_[s]->prepared_size(layout_.codes[s]);
  }
}

void PvqMatrix::row_dots(size_t first, size_t count, const float* prepared, float* y) const {
  for (size_t row = first; row < first + count; ++row) {
    const uint8_t* codes = codes_.data() + row * layout_.row_bytes;
    const float* segment = prepared;
    float sum = 0;
    for (size_t s = 0; s < kernels_.size(); ++s) {
      const PvqCode& code = layout_.codes[s];
      sum += kernels_[s]->dot(code, codes, segment);
      codes += code.bytes;
      segment += kernels_[s]->prepared_size(code);
    }
    y[row - first] = row_scale_[row] * sum;
  }
}

}  // namespace pyramidion
