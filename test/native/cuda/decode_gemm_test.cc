#include "cuda/kernels/decode_gemm.cu"

#include <doctest/doctest.h>

#include <cmath>

#include "expected_output.h"

using namespace pyramidion;

namespace {

template <class Value>
auto* kernel_of(const PvqCode& code) {
  const bool wide = code.bits > 32, halves = sizeof(Value) == 2;
  if (code.dimension == 8) {
    if (halves) return wide ? cuda::decode_gemm_d8_w64_f16 : cuda::decode_gemm_d8_w32_f16;
    return wide ? cuda::decode_gemm_d8_w64_i8 : cuda::decode_gemm_d8_w32_i8;
  }
  if (halves) return wide ? cuda::decode_gemm_d16_w64_f16 : cuda::decode_gemm_d16_w32_f16;
  return wide ? cuda::decode_gemm_d16_w64_i8 : cuda::decode_gemm_d16_w32_i8;
}

// A weight as a half loses at most 2^-11 of itself.
constexpr double kTolerance = 0x1p-11 + 2e-6;

template <class Value>
void check_product(DeviceMatrix& matrix, uint32_t tokens, uint32_t rank, bool with_bias, bool accumulate,
                   Random& random) {
  LayerInputs<Value> inputs(matrix.columns, tokens, random);
  LowRankFactor factor(matrix.rows, rank, tokens, random);
  const std::vector<float> bias = random.gaussians(matrix.rows);
  DeviceArray<float> device_bias(bias);
  const uint32_t y_stride = static_cast<uint32_t>(matrix.rows) + 3;
  const std::vector<float> before = random.gaussians(size_t{tokens} * y_stride);
  DeviceArray<float> y(before);
  const cuda::GemmParameters parameters{
      matrix.weights(), inputs.device(), factor.device(), with_bias ? device_bias.data() : nullptr,
      y.data(),         tokens,          y_stride,        accumulate ? 1u : 0u};
  const cuda::Shape shape = cuda::gemm_shape(static_cast<uint32_t>(matrix.rows), tokens);
  simt::run(kernel_of<Value>(matrix.layout.codes[0]), dim3(shape.grid_x, shape.grid_y), dim3(shape.threads),
            shape.dynamic_shared, parameters);
  const std::vector<float> result = y.values();
  for (uint32_t t = 0; t < tokens; ++t) {
    for (size_t row = 0; row < matrix.rows; ++row) {
      const Sum weights = weight_product(matrix, inputs, row, t);
      const Sum rest =
          with_rest({}, factor, rank, with_bias ? bias[row] : 0, accumulate ? before[t * y_stride + row] : 0, row, t);
      const double error = std::fabs(result[t * y_stride + row] - weights.value - rest.value);
      REQUIRE(error <= kTolerance * weights.magnitude + 2e-6 * rest.magnitude);
    }
    for (size_t beyond = matrix.rows; beyond < y_stride; ++beyond) {
      REQUIRE(result[t * y_stride + beyond] == before[t * y_stride + beyond]);
    }
  }
}

template <class Value>
void check_products(uint64_t seed) {
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const CodeSetting& setting : code_settings()) {
    for (size_t columns : cases<size_t>({75, 7, 260})) {
      const size_t rows = 1 + random.below(80);
      const auto tokens = static_cast<uint32_t>(1 + random.below(75)), rank = static_cast<uint32_t>(random.below(40));
      INFO("D ", setting.dimension, " K ", setting.pulses, " L ", setting.levels, " columns ", columns, " rows ", rows,
           " tokens ", tokens, " rank ", rank);
      DeviceMatrix matrix(rows, columns, setting, random, cache);
      check_product<Value>(matrix, tokens, rank, random.below(2) == 0, random.below(2) == 0, random);
    }
  }
}

}  // namespace

TEST_CASE("cuda decode_gemm: products with f16 inputs are those of the decoded weights") {
  check_products<uint16_t>(61);
}

TEST_CASE("cuda decode_gemm: products with int8 inputs") { check_products<int8_t>(62); }
