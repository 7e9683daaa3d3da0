#include "core/matrix/dense_matrix.h"

namespace pyramidion {
namespace {

constexpr DenseFormat kFormats[] = {
    {"f32", 1, 4, &FloatKernels::decode_f32},       {"f16", 1, 2, &FloatKernels::decode_f16},
    {"bf16", 1, 2, &FloatKernels::decode_bf16},     {"q8_0", 32, 34, &FloatKernels::decode_q8_0},
    {"q4_0", 32, 18, &FloatKernels::decode_q4_0},   {"q4_1", 32, 20, &FloatKernels::decode_q4_1},
    {"q4_k", 256, 144, &FloatKernels::decode_q4_k}, {"q6_k", 256, 210, &FloatKernels::decode_q6_k},
};

}  // namespace

const DenseFormat* find_dense_format(const std::string& name) {
  for (const DenseFormat& format : kFormats) {
    if (name == format.name) return &format;
  }
  return nullptr;
}

DenseMatrix::DenseMatrix(const DenseFormat& format, size_t rows, size_t columns, const uint8_t* bytes)
    : EncodedMatrix(rows, columns), format_(format), data_(bytes, bytes + rows * format.row_bytes(columns)) {}

void DenseMatrix::decode_rows(size_t first, size_t count, float* out, size_t stride) const {
  const BlockDecoder decode = float_kernels().*format_.decoder;
  const size_t row_bytes = format_.row_bytes(columns());
  for (size_t row = 0; row < count; ++row) {
    decode(data_.data() + (first + row) * row_bytes, columns(), out + row * stride);
  }
}

void DenseMatrix::row_dots(size_t first, size_t count, const float* prepared, float* y) const {
  if (format_.decoder != &FloatKernels::decode_f16) return EncodedMatrix::row_dots(first, count, prepared, y);
  const auto* halves = reinterpret_cast<const uint16_t*>(data_.data()) + first * columns();
  float_kernels().f16_rows.dots(prepared, 1, halves, columns(), count, columns(), 1, y);
}

}  // namespace pyramidion
