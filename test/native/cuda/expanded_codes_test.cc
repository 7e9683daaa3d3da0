#include "cuda/kernels/expanded_codes.cu"

#include <doctest/doctest.h>

#include <cmath>

#include "cpu/pvq_decode/dispatch.h"
#include "cuda/expanded_codes.h"
#include "expected_output.h"

using namespace pyramidion;

namespace {

struct ExpandedSetting {
  CodeSetting code;
  Lattice lattice;
};

// Every number of gains a chunk, and both lattices.
std::vector<ExpandedSetting> settings() {
  return cases<ExpandedSetting>({{{16, 24, 7}, Lattice::integer},
                                 {{8, 12, 7}, Lattice::integer},
                                 {{4, 6, 5}, Lattice::integer},
                                 {{32, 17, 3}, Lattice::integer},
                                 {{16, 40, 8}, Lattice::barnes_wall},
                                 {{8, 127, 2}, Lattice::integer}},
                                3);
}

// A matrix expanded, on the "device".
class ExpandedMatrix {
 public:
  explicit ExpandedMatrix(const StoredMatrix& matrix)
      : code(matrix.layout.codes[0]),
        rows_(
            cuda::expand_rows(code, with_read_ahead(matrix.codes).data(), matrix.layout.row_bytes, matrix.rows, pool_)),
        pulses_(rows_.pulses),
        gains_(rows_.gains) {}

  cuda::ExpandedCodes device() {
    const auto columns = static_cast<uint32_t>(code.columns);
    return {pulses_.data(), gains_.data(), columns, (columns + cuda::kExpandedChunk - 1) / cuda::kExpandedChunk};
  }

  const PvqCode& code;

 private:
  static std::vector<uint8_t> with_read_ahead(std::vector<uint8_t> codes) {
    codes.resize(codes.size() + pvq_read_ahead);
    return codes;
  }

  ThreadPool pool_{1};
  cuda::ExpandedRowsOnHost rows_;
  DeviceArray<int8_t> pulses_;
  DeviceArray<float> gains_;
};

using Gemv = void (*)(cuda::ExpandedGemvParameters);
using Rows = void (*)(cuda::ExpandedRowsParameters);

template <class Value>
Gemv gemv_of(size_t gains, uint32_t tokens) {
#define KERNELS_OF_GAINS(GAINS, NAME) \
  { cuda::expanded_gemv_g##GAINS##_##NAME##_t1, cuda::expanded_gemv_g##GAINS##_##NAME##_t8 }
  static const Gemv f32[3][2] = {KERNELS_OF_GAINS(1, f32), KERNELS_OF_GAINS(2, f32), KERNELS_OF_GAINS(4, f32)};
  static const Gemv i8[3][2] = {KERNELS_OF_GAINS(1, i8), KERNELS_OF_GAINS(2, i8), KERNELS_OF_GAINS(4, i8)};
  return (sizeof(Value) == 4 ? f32 : i8)[gains / 2][tokens == 1 ? 0 : 1];
}

template <class Value>
void check_product(const StoredMatrix& matrix, uint32_t tokens, uint32_t rank, bool accumulate, Random& random) {
  ExpandedMatrix expanded(matrix);
  // Behind whole words of four there may be anything.
  LayerInputs<Value> inputs = sizeof(Value) == 4 && matrix.columns % 4 != 0
                                  ? LayerInputs<Value>(matrix.columns, tokens, random, 0)
                                  : LayerInputs<Value>(matrix.columns, tokens, random);
  LowRankFactor factor(matrix.rows, rank, tokens, random);
  DeviceArray<uint16_t> row_scale(matrix.row_scale);
  const std::vector<float> bias = random.gaussians(matrix.rows);
  DeviceArray<float> device_bias(bias);
  const auto rows = static_cast<uint32_t>(matrix.rows), y_stride = rows + 1;
  const std::vector<float> before = random.gaussians(tokens * y_stride);
  DeviceArray<float> y(before);
  const cuda::ExpandedGemvParameters parameters{expanded.device(),
                                                {row_scale.data(), rows, inputs.device(), factor.device(),
                                                 device_bias.data(), y.data(), tokens, y_stride, accumulate ? 1u : 0u}};
  const cuda::Shape shape = cuda::gemv_shape(rows);
  simt::run(gemv_of<Value>(cuda::gains_of_chunk(expanded.code), tokens), dim3(shape.grid_x), dim3(shape.threads),
            shape.dynamic_shared, parameters);
  require_outputs(y.values(), matrix, inputs, tokens, factor, rank, bias, before, accumulate);
}

}  // namespace

TEST_CASE("cuda expanded_codes: products are those of the codes, whatever the lattice and the size of groups") {
  const uint64_t seed = 91;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const ExpandedSetting& setting : settings()) {
    for (size_t columns : cases<size_t>({333, 40, 3, 16, 2100}, 2)) {
      const size_t rows = 1 + random.below(6);
      const auto tokens = static_cast<uint32_t>(2 + random.below(7)), rank = static_cast<uint32_t>(random.below(20));
      INFO("D ", setting.code.dimension, " K ", setting.code.pulses, " columns ", columns, " rows ", rows, " tokens ",
           tokens);
      const StoredMatrix matrix(rows, columns, setting.code, random, cache, setting.lattice);
      REQUIRE(cuda::can_expand(matrix.layout.codes[0]));
      check_product<float>(matrix, tokens, rank, random.below(2) == 0, random);
      check_product<float>(matrix, 1, 0, false, random);
      check_product<int8_t>(matrix, tokens, rank, random.below(2) == 0, random);
      check_product<int8_t>(matrix, 1, rank, false, random);
    }
  }
}

TEST_CASE("cuda expanded_codes: rows as halves are the codes' values without the row scale, then zeros") {
  Random random(92);
  PyramidCache cache;
  for (const ExpandedSetting& setting : settings()) {
    for (size_t columns : cases<size_t>({41, 5, 64})) {
      INFO("D ", setting.code.dimension, " K ", setting.code.pulses, " columns ", columns);
      const StoredMatrix matrix(9, columns, setting.code, random, cache, setting.lattice);
      ExpandedMatrix expanded(matrix);
      const size_t first_row = 2, rows = 6, stride = (columns + 7) / 8 * 8;
      DeviceArray<uint16_t> out(rows * stride);
      const cuda::ExpandedRowsParameters parameters{expanded.device(), out.data(), first_row,
                                                    static_cast<uint32_t>(stride)};
      const Rows kernels[] = {cuda::expanded_rows_g1, cuda::expanded_rows_g2, cuda::expanded_rows_g4};
      const cuda::Shape shape = cuda::expanded_rows_shape(rows, parameters.codes.chunks);
      simt::run(kernels[cuda::gains_of_chunk(expanded.code) / 2], dim3(shape.grid_x, shape.grid_y), dim3(shape.threads),
                shape.dynamic_shared, parameters);
      const std::vector<uint16_t> halves = out.values();
      for (size_t row = 0; row < rows; ++row) {
        const double scale = half_to_float(matrix.row_scale[first_row + row]);
        for (size_t column = 0; column < stride; ++column) {
          const uint16_t half = halves[row * stride + column];
          const double expected = column < columns ? matrix.values[(first_row + row) * columns + column] : 0;
          REQUIRE(std::fabs(scale * half_to_float(half) - expected) <= (0x1p-11 + 4e-7) * std::fabs(expected));
        }
      }
    }
  }
}
