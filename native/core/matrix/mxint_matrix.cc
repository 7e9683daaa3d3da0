#include "core/matrix/mxint_matrix.h"

#include <algorithm>
#include <cmath>

#include "core/matrix/small_codes.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

constexpr int kBias = 127;

}  // namespace

int MxintSettings::exponent(float largest) const {
  if (largest == 0) return -kBias;
  return std::clamp(std::ilogb(largest) - static_cast<int>(bits) + 2, -kBias, kBias);
}

MxintRows encode_mxint_rows(const float* values, size_t rows, size_t columns, const MxintSettings& settings,
                            ThreadPool& pool) {
  const size_t blocks = settings.blocks(columns), row_bytes = small_code_bytes(columns, settings.bits);
  const int magnitude_bits = static_cast<int>(settings.bits) - 1;
  const float highest = settings.largest_code();
  MxintRows stored{std::vector<uint8_t>(rows * row_bytes), std::vector<uint8_t>(rows * blocks)};
  pool.parallel_for(rows, 16, [&](size_t first, size_t last) {
    std::vector<uint8_t> codes(columns);
    for (size_t row = first; row < last; ++row) {
      const float* row_values = values + row * columns;
      for (size_t block = 0; block < blocks; ++block) {
        const size_t begin = block * settings.block_size, end = std::min(columns, begin + settings.block_size);
        float largest = 0;
        for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(row_values[i]));
        const int exponent = settings.exponent(largest) + kBias;
        stored.exponents[row * blocks + block] = static_cast<uint8_t>(exponent);
        for (size_t i = begin; i < end; ++i) {
          const float scaled = std::ldexp(std::fabs(row_values[i]), kBias - exponent);
          const auto magnitude = static_cast<uint8_t>(std::min(std::nearbyint(scaled), highest));
          const bool negative = std::signbit(row_values[i]) && magnitude != 0;
          codes[i] = static_cast<uint8_t>(magnitude | negative << magnitude_bits);
        }
      }
      pack_small_codes(codes.data(), columns, settings.bits, stored.codes.data() + row * row_bytes);
    }
  });
  return stored;
}

void MxintMatrix::decode_rows(size_t first, size_t count, float* out, size_t stride) const {
  const size_t row_bytes = small_code_bytes(columns(), settings_.bits), blocks = settings_.blocks(columns());
  const auto sign = static_cast<float>(1u << (settings_.bits - 1));
  const FloatKernels& kernels = float_kernels();
  for (size_t row = first; row < first + count; ++row, out += stride) {
    kernels.unpack_codes(stored_.codes.data() + row * row_bytes, columns(), settings_.bits, out);
    for (size_t block = 0; block < blocks; ++block) {
      const size_t begin = block * settings_.block_size, end = std::min(columns(), begin + settings_.block_size);
      const float unit = std::ldexp(1.0f, stored_.exponents[row * blocks + block] - kBias);
      kernels.scale_signed_codes(unit, sign, out + begin, end - begin);
    }
  }
}

}  // namespace pyramidion
