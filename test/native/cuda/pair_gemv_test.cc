#include "cuda/kernels/pair_gemv.cu"

#include <doctest/doctest.h>

#include <cmath>

#include "cuda/pair_codes.h"
#include "expected_output.h"

using namespace pyramidion;

namespace {

void check_product(DeviceMatrix& matrix, uint32_t tokens, uint32_t rank, bool accumulate, Random& random) {
  const PvqCode& code = matrix.layout.codes[0];
  REQUIRE(cuda::has_pair_codes(code));
  const cuda::PairLayout layout = cuda::pair_layout(code);
  ThreadPool pool(1);
  DeviceArray<uint32_t> words(
      cuda::pair_quads(code, layout, matrix.codes.data(), matrix.layout.row_bytes, matrix.rows, pool));
  DeviceArray<uint32_t> table(layout.table);
  DeviceArray<uint16_t> row_scale(matrix.row_scale);
  LayerInputs<int8_t> inputs(matrix.columns, tokens, random, 0);
  LowRankFactor factor(matrix.rows, rank, tokens, random);
  const std::vector<float> bias = random.gaussians(matrix.rows);
  DeviceArray<float> device_bias(bias);
  const auto rows = static_cast<uint32_t>(matrix.rows), y_stride = rows + 1;
  const std::vector<float> before = random.gaussians(tokens * y_stride);
  DeviceArray<float> y(before);
  const cuda::PairGemvParameters parameters{cuda::pair_codes(code, layout, words.data(), table.data()),
                                            {row_scale.data(), rows, inputs.device(), factor.device(),
                                             device_bias.data(), y.data(), tokens, y_stride, accumulate ? 1u : 0u}};
  const cuda::Shape shape = cuda::pair_gemv_shape(parameters.codes, rows);
  simt::run(tokens == 1 ? cuda::pair_gemv_i8_t1 : cuda::pair_gemv_i8_t8, dim3(shape.grid_x), dim3(shape.threads),
            shape.dynamic_shared, parameters);
  require_outputs(y.values(), matrix, inputs, tokens, factor, rank, bias, before, accumulate);
}

}  // namespace

TEST_CASE(
    "cuda pair_gemv: products are those of the decoded weights, for every code that has pair codes and odd shapes") {
  const uint64_t seed = 81;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const CodeSetting& setting : cases<CodeSetting>(
           {{8, 12, 7}, {8, 1, 1}, {8, 2, 3}, {8, 5, 1}, {8, 6, 2}, {8, 9, 3}, {8, 15, 6}, {8, 19, 4}})) {
    for (size_t columns : cases<size_t>({333, 3, 8, 1100, 1030})) {
      const size_t rows = 1 + random.below(6);
      const auto tokens = static_cast<uint32_t>(1 + random.below(8)), rank = static_cast<uint32_t>(random.below(20));
      INFO("K ", setting.pulses, " L ", setting.levels, " columns ", columns, " rows ", rows, " tokens ", tokens);
      DeviceMatrix matrix(rows, columns, setting, random, cache);
      check_product(matrix, tokens, rank, random.below(2) == 0, random);
      check_product(matrix, 1, 0, false, random);
    }
  }
}

TEST_CASE("cuda pair_gemv: 3 bits take 27 bits a group, and what does not fit 32 bits has no pair codes") {
  PyramidCache cache;
  const PvqLayout three(64, {{64, 8, 12, some_levels(7)}}, cache), four(64, {{64, 8, 25, some_levels(13)}}, cache);
  CHECK(cuda::pair_layout(three.codes[0]).bits() == 27);
  CHECK(!cuda::has_pair_codes(four.codes[0]));
  const PvqLayout wide(64, {{64, 16, 11, some_levels(3)}}, cache);
  CHECK(!cuda::has_pair_codes(wide.codes[0]));
}
