#include "core/pvq/pvq_matrix.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"

namespace pyramidion {
namespace {

std::vector<float> checked_row_scale(const uint16_t* halves, size_t rows) {
  std::vector<float> scale;
  for (size_t row = 0; row < rows; ++row) {
    scale.push_back(half_to_float(halves[row]));
    if (!std::isfinite(scale.back())) {
      throw Error("INVALID_ARGUMENT",
                  "rowScale must be finite, got " + std::to_string(scale.back()) + " in row " + std::to_string(row));
    }
  }
  return scale;
}

}  // namespace

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
  row_scale_ = checked_row_scale(row_scale, rows);
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

std::vector<float> PvqMatrix::levels() const {
  std::vector<float> levels;
  for (const PvqCode& code : layout_.codes) levels.insert(levels.end(), code.levels.begin(), code.levels.end());
  return levels;
}

void PvqMatrix::set_scales(const uint16_t* row_scale, const float* levels) {
  std::vector<float> scale = checked_row_scale(row_scale, rows());
  const float* segment = levels;
  for (const PvqCode& code : layout_.codes) {
    check_levels(segment, code.levels.size());
    segment += code.levels.size();
  }
  for (PvqCode& code : layout_.codes) {
    std::copy_n(levels, code.levels.size(), code.levels.begin());
    levels += code.levels.size();
  }
  row_scale_ = std::move(scale);
}

void PvqMatrix::scale_gradients(size_t first, size_t count, const float* gradient, double* row_scale,
                                double* levels) const {
  std::vector<float> values(columns());
  for (size_t row = first; row < first + count; ++row, gradient += columns()) {
    const uint8_t* codes = codes_.data() + row * layout_.row_bytes;
    const float* slope = gradient;
    double total = 0, *segment_levels = levels;
    for (size_t s = 0; s < kernels_.size(); ++s) {
      const PvqCode& code = layout_.codes[s];
      const size_t dimension = static_cast<size_t>(code.dimension);
      // At a scale of 1: level p / ||p||.
      kernels_[s]->decode(code, codes, 1, values.data());
      for (size_t g = 0; g < code.groups; ++g) {
        double sum = 0;
        for (size_t i = g * dimension; i < std::min(code.columns, (g + 1) * dimension); ++i) {
          sum += static_cast<double>(slope[i]) * values[i];
        }
        total += sum;
        const size_t level = read_code(codes, g * code.bits, code.bits) / code.count();
        if (code.levels[level] > 0) segment_levels[level] += row_scale_[row] * sum / code.levels[level];
      }
      codes += code.bytes;
      slope += code.columns;
      segment_levels += code.levels.size();
    }
    row_scale[row - first] = total;
  }
}

}  // namespace pyramidion
