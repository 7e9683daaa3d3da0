#include "cuda/kernels/half_gemm.cu"

#include <doctest/doctest.h>

#include <cmath>

#include "expected_output.h"

using namespace pyramidion;

namespace {

// Halves, rows x stride, and what they mean; what is beyond the last column is not to be read, or zero.
struct HalfRows {
  HalfRows(size_t rows, size_t columns, Random& random) : stride((columns + 7) / 8 * 8), host(rows * stride, 0) {
    for (size_t row = 0; row < rows; ++row) {
      for (size_t column = 0; column < columns; ++column) {
        host[row * stride + column] = float_to_half(random.gaussian());
      }
    }
  }

  size_t stride;
  std::vector<uint16_t> host;
};

Sum expected_product(const HalfRows& weights, const std::vector<uint16_t>& row_scale, const LayerInputs<uint16_t>& x,
                     size_t columns, size_t row, size_t token) {
  Sum sum;
  for (size_t column = 0; column < columns; ++column) {
    const double weight = half_to_float(weights.host[row * weights.stride + column]);
    sum.add(weight * half_to_float(row_scale[row]) * x.value(token, column));
  }
  return sum;
}

void check_product(uint32_t rows, uint32_t columns, uint32_t tokens, uint32_t rank, uint32_t part_steps, bool large,
                   Random& random) {
  const uint32_t parts = cuda::blocks_of(cuda::blocks_of(columns, cuda::kHalfGemmStep), part_steps);
  const cuda::HalfGemmTile tile = large ? cuda::kLargeTile : cuda::kSmallTile;
  INFO("rows ", rows, " columns ", columns, " tokens ", tokens, " rank ", rank, " parts ", parts, " side ", tile.side);
  const bool with_bias = random.below(2) == 0, accumulate = random.below(2) == 0;
  const HalfRows weights(rows, columns, random);
  DeviceArray<uint16_t> device_weights(weights.host);
  std::vector<uint16_t> row_scale;
  for (uint32_t row = 0; row < rows; ++row) row_scale.push_back(float_to_half(random.gaussian()));
  DeviceArray<uint16_t> device_scale(row_scale);
  LayerInputs<uint16_t> inputs(columns, tokens, random);
  LowRankFactor factor(rows, rank, tokens, random);
  const std::vector<float> bias = random.gaussians(rows);
  DeviceArray<float> device_bias(bias);
  const uint32_t y_stride = rows + 3;
  const std::vector<float> before = random.gaussians(size_t{tokens} * y_stride);
  DeviceArray<float> y(before), partial(size_t{parts} * tokens * rows);
  const cuda::HalfGemmParameters parameters{
      device_weights.data(),
      static_cast<uint32_t>(weights.stride),
      columns,
      {device_scale.data(), rows, inputs.device(), factor.device(), with_bias ? device_bias.data() : nullptr, y.data(),
       tokens, y_stride, accumulate ? 1u : 0u},
      partial.data(),
      parts,
      part_steps};
  const cuda::Shape shape = cuda::half_gemm_shape(parameters, tile);
  simt::run(large ? cuda::half_gemm_large : cuda::half_gemm_small, dim3(shape.grid_x, shape.grid_y, shape.grid_z),
            dim3(shape.threads), shape.dynamic_shared, parameters);
  if (parts > 1) {
    const cuda::Shape sum = cuda::half_gemm_sum_shape(parameters);
    simt::run(cuda::half_gemm_sum, dim3(sum.grid_x, sum.grid_y), dim3(sum.threads), sum.dynamic_shared, parameters);
  }
  const std::vector<float> result = y.values();
  for (uint32_t t = 0; t < tokens; ++t) {
    for (uint32_t row = 0; row < rows; ++row) {
      const Sum sum = with_rest(expected_product(weights, row_scale, inputs, columns, row, t), factor, rank,
                                with_bias ? bias[row] : 0, accumulate ? before[t * y_stride + row] : 0, row, t);
      REQUIRE(std::fabs(result[t * y_stride + row] - sum.value) <= 2e-6 * sum.magnitude);
    }
    for (uint32_t beyond = rows; beyond < y_stride; ++beyond) {
      REQUIRE(result[t * y_stride + beyond] == before[t * y_stride + beyond]);
    }
  }
}

void check_products(bool large, uint64_t seed) {
  INFO("seed ", seed);
  Random random(seed);
  const unsigned side = large ? cuda::kLargeTile.side : cuda::kSmallTile.side;
  for (uint32_t columns : cases<uint32_t>({75, 7, 64, 260, 333})) {
    const auto rows = static_cast<uint32_t>(1 + random.below(side + 20));
    const auto tokens = static_cast<uint32_t>(1 + random.below(side + 20)),
               rank = static_cast<uint32_t>(random.below(40));
    const uint32_t part_steps = large ? 6 : static_cast<uint32_t>(1 + random.below(6));
    check_product(rows, columns, tokens, rank, part_steps, large, random);
  }
}

}  // namespace

TEST_CASE("cuda half_gemm: products in small tiles are those of the halves") { check_products(false, 61); }

TEST_CASE("cuda half_gemm: as many parts as keep a device busy, none of them short") {
  const auto parts_of = [](uint32_t rows, uint32_t tokens, uint32_t columns, const cuda::HalfGemmTile& tile) {
    cuda::HalfGemmParameters p{};
    p.columns = columns, p.outputs.rows = rows, p.outputs.tokens = tokens;
    cuda::share_columns(p, tile);
    CHECK((p.parts - 1) * p.part_steps < cuda::blocks_of(columns, cuda::kHalfGemmStep));
    CHECK(p.parts * p.part_steps >= cuda::blocks_of(columns, cuda::kHalfGemmStep));
    return p.parts;
  };
  CHECK(parts_of(4096, 64, 4096, cuda::kSmallTile) == 8);
  CHECK(parts_of(14336, 64, 4096, cuda::kSmallTile) == 2);
  CHECK(parts_of(4096, 64, 512, cuda::kSmallTile) == 1);
  CHECK(parts_of(4096, 64, 513, cuda::kSmallTile) == 2);
  CHECK(parts_of(1 << 20, 64, 4096, cuda::kSmallTile) == 1);
  CHECK(parts_of(4096, 256, 4096, cuda::kLargeTile) == 1);
  for (uint32_t rows : {1u, 300u, 4096u}) {
    for (uint32_t tokens : {9u, 70u, 200u}) {
      const size_t parts = parts_of(rows, tokens, 1 << 20, cuda::kSmallTile);
      if (parts > 1) CHECK(parts * rows * tokens * sizeof(float) <= cuda::kHalfGemmPartialBytes);
    }
  }
}

TEST_CASE("cuda half_gemm: products in large tiles") { check_products(true, 62); }
