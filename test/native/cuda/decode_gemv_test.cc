#include "cuda/kernels/decode_gemv.cu"

#include <doctest/doctest.h>

#include <cmath>

#include "expected_output.h"

using namespace pyramidion;

namespace {

using Kernel = void (*)(cuda::GemvParameters);

// By D, bits of a code, and tokens.
template <class Value>
Kernel kernel_of(const PvqCode& code, uint32_t tokens) {
#define KERNELS_OF_CODE(D, W, NAME) \
  { cuda::decode_gemv_d##D##_w##W##_##NAME##_t1, cuda::decode_gemv_d##D##_w##W##_##NAME##_t8 }
#define KERNELS(NAME)                                                                          \
  {                                                                                            \
    KERNELS_OF_CODE(8, 32, NAME), KERNELS_OF_CODE(8, 64, NAME), KERNELS_OF_CODE(16, 32, NAME), \
        KERNELS_OF_CODE(16, 64, NAME)                                                          \
  }
  static const Kernel f32[4][2] = KERNELS(f32), i8[4][2] = KERNELS(i8);
  const int row = (code.dimension == 16 ? 2 : 0) + (code.bits > 32 ? 1 : 0);
  const int column = tokens == 1 ? 0 : 1;
  return sizeof(Value) == 4 ? f32[row][column] : i8[row][column];
}

template <class Value>
void check_product(DeviceMatrix& matrix, uint32_t tokens, uint32_t rank, bool with_bias, bool accumulate,
                   Random& random) {
  LayerInputs<Value> inputs(matrix.columns, tokens, random);
  LowRankFactor factor(matrix.rows, rank, tokens, random);
  const std::vector<float> bias = random.gaussians(matrix.rows);
  DeviceArray<float> device_bias(bias);
  const uint32_t y_stride = static_cast<uint32_t>(matrix.rows) + 3;
  const std::vector<float> before = random.gaussians(tokens * y_stride);
  DeviceArray<float> y(before);
  const cuda::GemvParameters parameters{
      matrix.weights(), inputs.device(), factor.device(), with_bias ? device_bias.data() : nullptr,
      y.data(),         tokens,          y_stride,        accumulate ? 1u : 0u};
  const cuda::Shape shape = cuda::gemv_shape(static_cast<uint32_t>(matrix.rows));
  simt::run(kernel_of<Value>(matrix.layout.codes[0], tokens), dim3(shape.grid_x), dim3(shape.threads),
            shape.dynamic_shared, parameters);
  require_outputs(y.values(), matrix, inputs, tokens, factor, rank, with_bias ? bias : std::vector<float>{}, before,
                  accumulate);
}

template <class Value>
void check_products(const std::vector<CodeSetting>& settings, uint64_t seed) {
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const CodeSetting& setting : settings) {
    for (size_t columns : cases<size_t>({333, 7, 64, 1100})) {
      const size_t rows = 1 + random.below(6);
      const auto tokens = static_cast<uint32_t>(1 + random.below(8)), rank = static_cast<uint32_t>(random.below(40));
      INFO("D ", setting.dimension, " K ", setting.pulses, " L ", setting.levels, " columns ", columns, " rows ", rows,
           " tokens ", tokens, " rank ", rank);
      DeviceMatrix matrix(rows, columns, setting, random, cache);
      check_product<Value>(matrix, tokens, rank, random.below(2) == 0, random.below(2) == 0, random);
    }
  }
}

}  // namespace

TEST_CASE("cuda decode_gemv: products with float inputs are those of the decoded weights") {
  check_products<float>(code_settings(), 21);
}

TEST_CASE("cuda decode_gemv: products with int8 inputs and a scale a token") {
  check_products<int8_t>(code_settings(), 23);
}

TEST_CASE("cuda decode_gemv: every number of tokens up to eight") {
  Random random(24);
  PyramidCache cache;
  for (uint32_t tokens : cases<uint32_t>({3, 1, 2, 4, 5, 6, 7, 8})) {
    DeviceMatrix matrix(5, 272, {8, 12, 7}, random, cache);
    check_product<float>(matrix, tokens, 16, true, false, random);
  }
}
