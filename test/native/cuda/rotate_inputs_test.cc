#include "cuda/kernels/rotate_inputs.cu"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "../pvq/random.h"
#include "code_settings.h"
#include "core/linear/activation_quantizer.h"
#include "core/linear/rotation.h"
#include "core/matrix/half.h"
#include "device_array.h"

using namespace pyramidion;

namespace {

struct Setting {
  uint32_t order, block_log2;
  bool mixed;
  uint32_t width() const { return order << block_log2; }
};

// The CPU's rotation, and the same with what the kernel reads.
class Case {
 public:
  Case(const Setting& setting, uint32_t tokens, uint32_t rank, Random& random)
      : setting_(setting), tokens_(tokens), rank_(rank), x_(random.gaussians(size_t{tokens} * setting.width())) {
    const uint32_t width = setting.width(), order = setting.order;
    for (uint32_t i = 0; i < width; ++i) signs_.push_back(random.below(2) == 0 ? 1 : -1);
    // Any matrix will do for the sums; its size is an orthogonal one's.
    if (setting.mixed) matrix_ = random.gaussians(size_t{order} * order);
    for (float& value : matrix_) value /= std::sqrt(static_cast<float>(order));
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(1u << setting.block_log2)));
    for (int8_t sign : signs_) scaled_signs_.push_back(sign < 0 ? -scale : scale);
    for (size_t i = 0; i < size_t{rank} * width; ++i) {
      factor_.push_back(static_cast<int8_t>(static_cast<int>(random.below(255)) - 127));
    }
    for (size_t i = 0; i < size_t{rank} * ((width + 15) / 16); ++i) {
      factor_scale_.push_back(float_to_half(random.gaussian() / 100));
    }
    expected_ = x_;
    Rotation(signs_, setting.block_log2, matrix_).apply(expected_.data(), tokens, false, pool_);
  }

  // Runs a kernel; values: tokens x width, as stored.
  template <class Value>
  void run(void (*kernel)(cuda::RotateParameters), std::vector<Value>* values, std::vector<float>* scale,
           std::vector<float>* projected) {
    const uint32_t width = setting_.width(), stride = (width + 15) / 16 * 16;
    DeviceArray<float> x(x_), signs(scaled_signs_), matrix(matrix_), scales(tokens_), t(size_t{tokens_} * rank_);
    DeviceArray<int8_t> factor(factor_);
    DeviceArray<uint16_t> factor_scale(factor_scale_);
    DeviceArray<Value> out(size_t{tokens_} * stride);
    DeviceArray<float> mixed(x_.size());
    if (setting_.mixed) {
      const cuda::Shape shape = cuda::mix_shape(tokens_, width);
      simt::run(cuda::mix_inputs, dim3(shape.grid_x, shape.grid_y), dim3(shape.threads), shape.dynamic_shared,
                cuda::MixParameters{x.data(), signs.data(), matrix.data(), mixed.data(), width, setting_.order,
                                    setting_.block_log2});
    }
    const cuda::RotateParameters parameters{setting_.mixed ? mixed.data() : x.data(),
                                            setting_.mixed ? nullptr : signs.data(),
                                            width,
                                            setting_.block_log2,
                                            out.data(),
                                            sizeof(Value) == 4 ? nullptr : scales.data(),
                                            stride,
                                            {factor.data(), factor_scale.data(), t.data(), rank_}};
    const cuda::Shape shape = cuda::rotate_shape(tokens_, width, rank_);
    simt::run(kernel, dim3(shape.grid_x, shape.grid_y), dim3(shape.threads), shape.dynamic_shared, parameters);
    const std::vector<Value> stored = out.values();
    for (uint32_t token = 0; token < tokens_; ++token) {
      const auto first = stored.begin() + token * stride;
      values->insert(values->end(), first, first + width);
      REQUIRE(std::all_of(first + width, first + stride, [](Value padding) { return padding == 0; }));
    }
    *scale = scales.values();
    *projected = t.values();
  }

  void check_projection(const std::vector<double>& inputs, const std::vector<float>& projected) const {
    const uint32_t width = setting_.width();
    for (uint32_t token = 0; token < tokens_; ++token) {
      for (uint32_t rank = 0; rank < rank_; ++rank) {
        double sum = 0, magnitude = 0;
        for (uint32_t i = 0; i < width; ++i) {
          const double factor = static_cast<double>(factor_[rank * width + i]) *
                                half_to_float(factor_scale_[rank * ((width + 15) / 16) + i / 16]);
          sum += factor * inputs[token * width + i];
          magnitude += std::fabs(factor * inputs[token * width + i]);
        }
        REQUIRE(std::fabs(projected[token * rank_ + rank] - sum) <= 2e-6 * magnitude);
      }
    }
  }

  const std::vector<float>& expected() const { return expected_; }
  ThreadPool& pool() { return pool_; }

 private:
  Setting setting_;
  uint32_t tokens_, rank_;
  std::vector<float> x_, matrix_, scaled_signs_, expected_;
  std::vector<int8_t> signs_, factor_;
  std::vector<uint16_t> factor_scale_;
  ThreadPool pool_{1};
};

std::vector<Setting> settings() {
  return cases<Setting>({{5, 7, false},
                         {12, 4, true},
                         {1, 0, false},
                         {1, 1, false},
                         {1, 5, false},
                         {1, 10, false},
                         {3, 2, false},
                         {3, 0, true},
                         {36, 3, true},
                         {7, 6, true}},
                        2);
}

}  // namespace

TEST_CASE("cuda rotate_inputs: floats are the CPU's, bit for bit where no matrix mixes the blocks") {
  const uint64_t seed = 41;
  INFO("seed ", seed);
  Random random(seed);
  for (const Setting& setting : settings()) {
    for (uint32_t tokens : cases<uint32_t>({3, 1})) {
      INFO("order ", setting.order, " block 2^", setting.block_log2, " tokens ", tokens);
      Case example(setting, tokens, static_cast<uint32_t>(random.below(20)), random);
      std::vector<float> values, scale, projected;
      example.run(cuda::rotate_inputs_f32, &values, &scale, &projected);
      const std::vector<float>& expected = example.expected();
      for (size_t i = 0; i < values.size(); ++i) {
        if (setting.mixed) {
          REQUIRE(std::fabs(values[i] - expected[i]) <= 1e-5);
        } else {
          REQUIRE(values[i] == expected[i]);
        }
      }
      example.check_projection(std::vector<double>(values.begin(), values.end()), projected);
    }
  }
}

TEST_CASE("cuda rotate_inputs: int8 inputs are the CPU's, A takes what the product reads") {
  const uint64_t seed = 42;
  INFO("seed ", seed);
  Random random(seed);
  for (const Setting& setting : settings()) {
    if (setting.mixed) continue;
    const uint32_t width = setting.width(), tokens = 2;
    INFO("order ", setting.order, " block 2^", setting.block_log2);
    Case example(setting, tokens, 17, random);
    std::vector<int8_t> values;
    std::vector<float> scale, projected, expected = example.expected();
    example.run(cuda::rotate_inputs_i8, &values, &scale, &projected);
    int8_activations(width)->apply(expected.data(), tokens, example.pool());
    std::vector<double> inputs;
    for (size_t i = 0; i < values.size(); ++i) {
      inputs.push_back(static_cast<double>(values[i]) * scale[i / width]);
      REQUIRE(static_cast<float>(values[i]) * scale[i / width] == expected[i]);
    }
    example.check_projection(inputs, projected);
    std::vector<uint16_t> halves;
    std::vector<float> half_scale, half_projected;
    example.run(cuda::rotate_inputs_i8_f16, &halves, &half_scale, &half_projected);
    CHECK(half_scale == scale);
    CHECK(half_projected == projected);
    REQUIRE(std::equal(values.begin(), values.end(), halves.begin(), halves.end(),
                       [](int8_t value, uint16_t half) { return half_to_float(half) == value; }));
  }
}

TEST_CASE("cuda rotate_inputs: halves have a unit that is a power of two and lose no more than halves must") {
  Random random(43);
  const Setting setting{5, 4, false};
  Case example(setting, 3, 5, random);
  std::vector<uint16_t> values;
  std::vector<float> scale, projected;
  example.run(cuda::rotate_inputs_f16, &values, &scale, &projected);
  std::vector<double> inputs;
  for (size_t i = 0; i < values.size(); ++i) {
    const float unit = scale[i / setting.width()];
    CHECK(std::exp2(std::round(std::log2(unit))) == unit);
    inputs.push_back(static_cast<double>(half_to_float(values[i])) * unit);
    REQUIRE(std::fabs(inputs[i] - example.expected()[i]) <=
            0x1p-11 * std::fabs(example.expected()[i]) + 0x1p-25 * unit);
  }
  example.check_projection(inputs, projected);
}
