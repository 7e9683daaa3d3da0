#include "cuda/kernels/decode_rows.cu"

#include <doctest/doctest.h>

#include <cmath>

#include "device_matrix.h"

using namespace pyramidion;

namespace {

auto* kernel_of(const PvqCode& code, bool halves) {
  const bool wide = code.bits > 32;
  if (code.dimension == 8) {
    if (halves) return wide ? cuda::decode_rows_d8_w64_f16 : cuda::decode_rows_d8_w32_f16;
    return wide ? cuda::decode_rows_d8_w64_f32 : cuda::decode_rows_d8_w32_f32;
  }
  if (halves) return wide ? cuda::decode_rows_d16_w64_f16 : cuda::decode_rows_d16_w32_f16;
  return wide ? cuda::decode_rows_d16_w64_f32 : cuda::decode_rows_d16_w32_f32;
}

template <class Value>
std::vector<Value> decode(DeviceMatrix& matrix, uint32_t first_row, uint32_t row_count, uint32_t stride) {
  DeviceArray<Value> out(size_t{row_count} * stride);
  const cuda::DecodeParameters parameters{matrix.weights(), out.data(), first_row, row_count, stride};
  const cuda::Shape shape = cuda::decode_shape(row_count, parameters.weights.groups);
  simt::run(kernel_of(matrix.layout.codes[0], sizeof(Value) == 2), dim3(shape.grid_x, shape.grid_y),
            dim3(shape.threads), shape.dynamic_shared, parameters);
  return out.values();
}

}  // namespace

TEST_CASE("cuda decode_rows: floats and halves are the codes' values") {
  const uint64_t seed = 11;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const CodeSetting& setting : code_settings()) {
    for (size_t columns : cases<size_t>({33, 5, 8, 257})) {
      INFO("D ", setting.dimension, " K ", setting.pulses, " L ", setting.levels, " columns ", columns);
      const size_t rows = columns == 5 ? 1 : 3 + random.below(6);
      DeviceMatrix matrix(rows, columns, setting, random, cache);
      const auto stride = static_cast<uint32_t>(columns + 1);
      const std::vector<float> floats = decode<float>(matrix, 0, static_cast<uint32_t>(rows), stride);
      const std::vector<uint16_t> halves = decode<uint16_t>(matrix, 0, static_cast<uint32_t>(rows), stride);
      for (size_t row = 0; row < rows; ++row) {
        for (size_t column = 0; column < columns; ++column) {
          const double expected = matrix.values[row * columns + column];
          const float value = floats[row * stride + column];
          REQUIRE(std::fabs(value - expected) <= 4e-7 * std::fabs(expected));
          REQUIRE(halves[row * stride + column] == float_to_half(value));
        }
        REQUIRE(std::isnan(floats[row * stride + columns]));
      }
    }
  }
}

TEST_CASE("cuda decode_rows: part of a matrix decodes as it does in the whole") {
  Random random(12);
  PyramidCache cache;
  DeviceMatrix matrix(11, 100, {8, 12, 7}, random, cache);
  const std::vector<float> whole = decode<float>(matrix, 0, 11, 100), part = decode<float>(matrix, 4, 5, 100);
  CHECK(std::equal(part.begin(), part.end(), whole.begin() + 400));
}
