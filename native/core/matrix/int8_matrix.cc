#include "core/matrix/int8_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/aligned_buffer.h"
#include "core/matrix/half.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Added to a number below 2^22 it leaves the nearest whole one in the lowest bits.
constexpr float kRounder = 0x1.8p23f;
constexpr uint16_t kNotANumber = 0x7e00;

bool all_finite(const float* x, size_t count) {
  uint32_t infinite = 0;
  for (size_t i = 0; i < count; ++i) infinite |= (bits_of_float(x[i]) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  return infinite == 0;
}

void encode_block(const float* x, uint8_t* block) {
  const float largest = float_kernels().largest_magnitude(x, Int8Matrix::kBlock);
  const uint16_t half = all_finite(x, Int8Matrix::kBlock) ? float_to_half(largest / 127) : kNotANumber;
  const float scale = half_to_float(half), inverse = scale > 0 && std::isfinite(scale) ? 1 / scale : 0;
  std::memcpy(block, &half, sizeof(half));
  for (size_t i = 0; i < Int8Matrix::kBlock; ++i) {
    // A scale rounded down, or a subnormal one, leaves multiples beyond 127.
    const float multiple = inverse == 0 ? 0 : std::clamp(x[i] * inverse, -127.0f, 127.0f);
    block[2 + i] = static_cast<uint8_t>(bits_of_float(multiple + kRounder));
  }
}

}  // namespace

Int8Matrix::Int8Matrix(size_t rows, size_t columns, const uint8_t* blocks)
    : EncodedMatrix(rows, columns), values_(rows * columns), scales_(rows * columns / kBlock) {
  for (size_t b = 0; b < scales_.size(); ++b, blocks += kBlockBytes) {
    uint16_t scale;
    std::memcpy(&scale, blocks, sizeof(scale));
    scales_[b] = half_to_float(scale);
    std::memcpy(&values_[b * kBlock], blocks + sizeof(scale), kBlock);
  }
}

void Int8Matrix::decode_rows(size_t first, size_t count, float* out, size_t stride) const {
  for (size_t row = first; row < first + count; ++row, out += stride) {
    for (size_t b = 0; b < row_blocks(); ++b) {
      const int8_t* values = values_.data() + row * columns() + b * kBlock;
      const float scale = scales_[row * row_blocks() + b];
      for (size_t i = 0; i < kBlock; ++i) out[b * kBlock + i] = scale * static_cast<float>(values[i]);
    }
  }
}

void Int8Matrix::prepare_vector(const float* x, float* prepared) const {
  const float largest = float_kernels().largest_magnitude(x, columns()), scale = largest / 32767;
  const bool finite = all_finite(x, columns());
  // Below the normal numbers the reciprocal may overflow: such a vector is as good as zero.
  const float inverse = finite && scale >= std::numeric_limits<float>::min() ? 32767 / largest : 0;
  prepared[0] = finite ? scale : std::numeric_limits<float>::quiet_NaN();
  auto* values = reinterpret_cast<int16_t*>(prepared + kPreparedHead);
  for (size_t i = 0; i < columns(); ++i) {
    values[i] = static_cast<int16_t>(bits_of_float((inverse == 0 ? 0 : x[i] * inverse) + kRounder));
  }
}

void Int8Matrix::row_dots(size_t first, size_t count, const float* prepared, float* y) const {
  float_kernels().row_dots_int8(reinterpret_cast<const int16_t*>(prepared + kPreparedHead),
                                values_.data() + first * columns(), scales_.data() + first * row_blocks(), count,
                                columns(), prepared[0], y);
}

std::vector<uint8_t> encode_int8_blocks(const EncodedMatrix& matrix, ThreadPool& pool) {
  const size_t columns = matrix.columns(), row_bytes = columns / Int8Matrix::kBlock * Int8Matrix::kBlockBytes;
  std::vector<uint8_t> blocks(matrix.rows() * row_bytes);
  pool.parallel_for(matrix.rows(), 64, [&](size_t first, size_t last) {
    AlignedBuffer<float> row(columns);
    for (size_t r = first; r < last; ++r) {
      matrix.decode_rows(r, 1, row.data(), columns);
      uint8_t* block = blocks.data() + r * row_bytes;
      for (size_t i = 0; i < columns; i += Int8Matrix::kBlock, block += Int8Matrix::kBlockBytes) {
        encode_block(row.data() + i, block);
      }
    }
  });
  return blocks;
}

}  // namespace pyramidion
