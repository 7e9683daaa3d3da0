#include "cuda/kernels/decode_rows.cu"

#include <doctest/doctest.h>

#include <cmath>

#include "device_matrix.h"

using namespace pyramidion;

namespace {

auto* kernel_of(const PvqCode& code) {
  const bool wide = code.bits > 32;
  if (code.dimension == 8) return wide ? cuda::decode_rows_d8_w64 : cuda::decode_rows_d8_w32;
  return wide ? cuda::decode_rows_d16_w64 : cuda::decode_rows_d16_w32;
}

std::vector<uint16_t> decode(DeviceMatrix& matrix, size_t first_row, size_t row_count, size_t stride) {
  DeviceArray<uint16_t> out(row_count * stride);
  const cuda::DecodeParameters parameters{matrix.weights(), out.data(), static_cast<uint32_t>(first_row),
                                          static_cast<uint32_t>(row_count), static_cast<uint32_t>(stride)};
  const cuda::Shape shape = cuda::decode_shape(parameters.row_count, parameters.weights.groups);
  simt::run(kernel_of(matrix.layout.codes[0]), dim3(shape.grid_x, shape.grid_y), dim3(shape.threads),
            shape.dynamic_shared, parameters);
  return out.values();
}

}  // namespace

TEST_CASE("cuda decode_rows: halves are the codes' values without the row scale, then zeros") {
  const uint64_t seed = 11;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const CodeSetting& setting : code_settings()) {
    for (size_t columns : cases<size_t>({33, 5, 8, 257})) {
      INFO("D ", setting.dimension, " K ", setting.pulses, " L ", setting.levels, " columns ", columns);
      const size_t rows = columns == 5 ? 1 : 3 + random.below(6), stride = (columns + 7) / 8 * 8;
      DeviceMatrix matrix(rows, columns, setting, random, cache);
      const std::vector<uint16_t> halves = decode(matrix, 0, rows, stride);
      for (size_t row = 0; row < rows; ++row) {
        const double scale = half_to_float(matrix.row_scale[row]);
        for (size_t column = 0; column < stride; ++column) {
          const uint16_t half = halves[row * stride + column];
          if (column >= columns) {
            REQUIRE(half == 0);
            continue;
          }
          const double expected = matrix.values[row * columns + column];
          REQUIRE(std::fabs(scale * half_to_float(half) - expected) <= (0x1p-11 + 4e-7) * std::fabs(expected));
        }
      }
    }
  }
}

TEST_CASE("cuda decode_rows: part of a matrix decodes as it does in the whole") {
  Random random(12);
  PyramidCache cache;
  DeviceMatrix matrix(11, 100, {8, 12, 7}, random, cache);
  const std::vector<uint16_t> whole = decode(matrix, 0, 11, 104), part = decode(matrix, 4, 5, 104);
  CHECK(std::equal(part.begin(), part.end(), whole.begin() + 416));
}
