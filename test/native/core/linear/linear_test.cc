#include "core/linear/linear.h"

#include <doctest/doctest.h>

#include <cmath>

#include "../random_inputs.h"
#include "core/linear/linear_timing.h"
#include "core/matrix/dense_matrix.h"
#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"
#include "core/pvq/pvq_matrix.h"

using namespace pyramidion;

namespace {

std::vector<uint8_t> bytes_of(const std::vector<float>& values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  return std::vector<uint8_t>(bytes, bytes + values.size() * sizeof(float));
}

// An orthonormal matrix of any order: the discrete Hartley transform.
std::vector<float> hartley(size_t order) {
  std::vector<float> matrix(order * order);
  for (size_t i = 0; i < order; ++i) {
    for (size_t k = 0; k < order; ++k) {
      const double angle = 2 * M_PI * static_cast<double>(i * k % order) / static_cast<double>(order);
      matrix[i * order + k] = static_cast<float>((std::cos(angle) + std::sin(angle)) / std::sqrt(order));
    }
  }
  return matrix;
}

// V x from its definition: element (i 2^b + j) is sum_kl M(i, k) S(j, l) signs x (k 2^b + l), S(j, l) = (-1)^|j & l|.
std::vector<double> turned(const std::vector<float>& x, const std::vector<int8_t>& signs, unsigned log2,
                           const std::vector<float>& matrix) {
  const size_t block = size_t{1} << log2, order = x.size() / block;
  std::vector<double> result(x.size());
  for (size_t i = 0; i < order; ++i) {
    for (size_t k = 0; k < order; ++k) {
      const double m = matrix.empty() ? (i == k) : matrix[i * order + k];
      for (size_t j = 0; j < block; ++j) {
        for (size_t l = 0; l < block; ++l) {
          const double s = (__builtin_popcountll(j & l) % 2 ? -1 : 1) / std::sqrt(static_cast<double>(block));
          result[i * block + j] += m * s * signs[k * block + l] * x[k * block + l];
        }
      }
    }
  }
  return result;
}

std::vector<int8_t> random_signs(RandomInputs& inputs, size_t width) {
  std::vector<int8_t> signs = inputs.integers<int8_t>(width, 0, 1);
  for (int8_t& sign : signs) sign = sign != 0 ? 1 : -1;
  return signs;
}

struct Layer {
  size_t in, out, rank;
  std::vector<float> weights, bias, a, b;
  std::vector<int8_t> a_values, b_values;
  std::vector<uint16_t> a_scales, b_scales;

  Layer(size_t in, size_t out, size_t rank, uint64_t seed) : in(in), out(out), rank(rank) {
    RandomInputs inputs(seed);
    weights = inputs.normal(in * out);
    bias = inputs.normal(out);
    factor(inputs, rank, in, a_values, a_scales, a);
    factor(inputs, out, rank, b_values, b_scales, b);
  }

  static void factor(RandomInputs& inputs, size_t rows, size_t columns, std::vector<int8_t>& values,
                     std::vector<uint16_t>& scales, std::vector<float>& decoded) {
    const size_t blocks = FactorMatrix::blocks(columns);
    values = inputs.integers<int8_t>(rows * columns, -127, 127);
    for (float scale : inputs.normal(rows * blocks)) scales.push_back(float_to_half(scale / 300));
    for (size_t i = 0; i < rows * columns; ++i) {
      decoded.push_back(values[i] * half_to_float(scales[i / columns * blocks + i % columns / 16]));
    }
  }

  Linear build(std::shared_ptr<const Rotation> rotation,
               std::shared_ptr<const ActivationQuantizer> activations = nullptr) const {
    LinearParts parts;
    parts.weights = std::make_unique<DenseMatrix>(*find_dense_format("f32"), out, in, bytes_of(weights).data());
    parts.rotation = std::move(rotation);
    parts.activations = std::move(activations);
    if (rank > 0) {
      parts.a = std::make_unique<FactorMatrix>(rank, in, a_values.data(), a_scales.data());
      parts.b = std::make_unique<FactorMatrix>(out, rank, b_values.data(), b_scales.data());
    }
    parts.bias = bias;
    return Linear(std::move(parts));
  }

  // y for one input, in double, of a layer without rotation.
  std::vector<double> apply(const std::vector<double>& x) const {
    std::vector<double> y(bias.begin(), bias.end()), projected(rank);
    for (size_t k = 0; k < rank; ++k) {
      for (size_t i = 0; i < in; ++i) projected[k] += a[k * in + i] * x[i];
    }
    for (size_t row = 0; row < out; ++row) {
      for (size_t i = 0; i < in; ++i) y[row] += weights[row * in + i] * x[i];
      for (size_t k = 0; k < rank; ++k) y[row] += b[row * rank + k] * projected[k];
    }
    return y;
  }
};

}  // namespace

TEST_CASE("a rotation is what its definition says, keeps lengths, and its inverse undoes it") {
  ThreadPool pool(3);
  const size_t shapes[][2] = {{0, 1}, {0, 7}, {1, 1}, {2, 3}, {3, 5}, {4, 36}, {5, 1}, {6, 3}, {9, 1}, {7, 12}};
  for (const auto& [log2, order] : shapes) {
    for (bool mixed : {false, true}) {
      INFO(log2, ", ", order, ", ", mixed);
      const size_t width = order << log2, rows = 5;
      RandomInputs inputs(width);
      const std::vector<int8_t> signs = random_signs(inputs, width);
      const std::vector<float> matrix = mixed ? hartley(order) : std::vector<float>();
      const Rotation rotation(signs, static_cast<unsigned>(log2), matrix);
      CHECK(rotation.width() == width);
      const std::vector<float> x = inputs.normal(rows * width);
      std::vector<float> y = x;
      rotation.apply(y.data(), rows, false, pool);
      for (size_t row = 0; row < rows; ++row) {
        const std::vector<float> one(x.begin() + row * width, x.begin() + (row + 1) * width);
        const std::vector<double> expected = turned(one, signs, static_cast<unsigned>(log2), matrix);
        for (size_t i = 0; i < width; ++i) REQUIRE(std::fabs(y[row * width + i] - expected[i]) < 1e-5);
      }
      rotation.apply(y.data(), rows, true, pool);
      for (size_t i = 0; i < x.size(); ++i) REQUIRE(std::fabs(y[i] - x[i]) < 1e-5);
    }
  }
}

TEST_CASE("a layer computes W x + B (A x) + bias for one token, a few and many, at odd sizes") {
  const size_t shapes[][3] = {{1, 1, 0}, {7, 3, 1}, {64, 33, 5}, {100, 130, 17}, {576, 77, 32}};
  for (size_t threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    for (const auto& [in, out, rank] : shapes) {
      const Layer layer(in, out, rank, in * 1000 + out);
      const Linear linear = layer.build(nullptr);
      for (size_t tokens : {1, 2, 4, 5, 33}) {
        INFO(in, ", ", out, ", ", rank, ", ", tokens, ", ", threads);
        const std::vector<float> x = RandomInputs(tokens).normal(tokens * in);
        std::vector<float> y(tokens * out, NAN);
        linear.forward(x.data(), tokens, y.data(), false, pool);
        for (size_t token = 0; token < tokens; ++token) {
          const std::vector<double> expected =
              layer.apply(std::vector<double>(x.begin() + token * in, x.begin() + (token + 1) * in));
          for (size_t row = 0; row < out; ++row) REQUIRE(std::fabs(y[token * out + row] - expected[row]) < 2e-4);
        }
      }
    }
  }
}

TEST_CASE("a layer's result is the same bits for any number of threads") {
  const Layer layer(96, 301, 9, 5);
  const Linear linear = layer.build(nullptr);
  for (size_t tokens : {1, 3, 40}) {
    const std::vector<float> x = RandomInputs(6).normal(tokens * 96);
    std::vector<std::vector<float>> results;
    for (size_t threads : {1, 2, 5}) {
      ThreadPool pool(threads);
      results.emplace_back(tokens * 301);
      linear.forward(x.data(), tokens, results.back().data(), false, pool);
    }
    CHECK(results[0] == results[1]);
    CHECK(results[0] == results[2]);
  }
}

TEST_CASE("a rotated layer rotates its input unless told that it is, and gathers rows in the caller's coordinates") {
  ThreadPool pool(2);
  const size_t in = 48, out = 29, rank = 6, tokens = 3;
  RandomInputs inputs(8);
  const auto rotation = std::make_shared<const Rotation>(random_signs(inputs, in), 4, hartley(3));
  const Layer layer(in, out, rank, 9);
  const Linear linear = layer.build(rotation);
  const std::vector<float> x = inputs.normal(tokens * in);
  std::vector<float> turned_x = x, y(tokens * out), same(tokens * out);
  rotation->apply(turned_x.data(), tokens, false, pool);
  linear.forward(x.data(), tokens, y.data(), false, pool);
  linear.forward(turned_x.data(), tokens, same.data(), true, pool);
  CHECK(y == same);

  const std::vector<int32_t> ids = {28, 0, 7, 7};
  std::vector<float> rows(ids.size() * in);
  linear.gather_rows(ids.data(), ids.size(), rows.data(), pool);
  for (size_t token = 0; token < tokens; ++token) {
    for (size_t i = 0; i < ids.size(); ++i) {
      double sum = layer.bias[ids[i]];
      for (size_t k = 0; k < in; ++k) sum += static_cast<double>(rows[i * in + k]) * x[token * in + k];
      CHECK(y[token * out + ids[i]] == doctest::Approx(sum).epsilon(1e-4));
    }
  }
}

TEST_CASE("a layer rounds its inputs behind the rotation, for the weights and the correction alike") {
  ThreadPool pool(2);
  const size_t in = 48, out = 29, rank = 6;
  RandomInputs inputs(10);
  const auto rotation = std::make_shared<const Rotation>(random_signs(inputs, in), 4, hartley(3));
  const std::shared_ptr<const ActivationQuantizer> activations = mxint_activations(in, {4, 16});
  const Layer layer(in, out, rank, 11);
  for (const auto& turn : {rotation, std::shared_ptr<const Rotation>()}) {
    const Linear linear = layer.build(turn, activations), exact = layer.build(turn);
    for (size_t tokens : {1, 40}) {
      const std::vector<float> x = inputs.normal(tokens * in);
      std::vector<float> rounded = x, y(tokens * out), expected(tokens * out), prepared(tokens * out);
      if (turn) turn->apply(rounded.data(), tokens, false, pool);
      activations->apply(rounded.data(), tokens, pool);
      linear.forward(x.data(), tokens, y.data(), false, pool);
      linear.forward(rounded.data(), tokens, prepared.data(), true, pool);
      exact.forward(rounded.data(), tokens, expected.data(), true, pool);
      CHECK(y == expected);
      CHECK(prepared == expected);
    }
  }
}

TEST_CASE("the bytes of a layer are those of its parts") {
  const Layer layer(32, 10, 3, 4);
  CHECK(layer.build(nullptr).bytes() == 10 * 32 * 4 + 10 * 4 + (3 * 32 + 3 * 2 * 2) + (10 * 3 + 10 * 2));
}

TEST_CASE("a product is timed: more work takes longer") {
  ThreadPool pool(2);
  const Linear layer = Layer(96, 64, 0, 5).build(nullptr);
  const double one = least_seconds(layer, 1, pool);
  CHECK(one > 0);
  CHECK(least_seconds(layer, 1000, pool) > one);
}

TEST_CASE("the gradient at a layer's input is V^T (W + B A)^T g, written or added, in either coordinates") {
  const size_t shapes[][3] = {{8, 3, 0}, {24, 33, 5}, {48, 1030, 7}};
  for (size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const auto& [in, out, rank] : shapes) {
      for (bool turned : {false, true}) {
        INFO(in, ", ", out, ", ", rank, ", ", turned, ", ", threads);
        RandomInputs inputs(in);
        const auto rotation =
            turned ? std::make_shared<const Rotation>(random_signs(inputs, in), 3, hartley(in / 8)) : nullptr;
        const Linear linear = Layer(in, out, rank, 3).build(rotation);
        const size_t tokens = 50;
        const std::vector<float> gradient = inputs.normal(tokens * out), before = inputs.normal(tokens * in);
        std::vector<int32_t> ids(out);
        for (size_t i = 0; i < out; ++i) ids[i] = static_cast<int32_t>(i);
        std::vector<float> rows(out * in), written(tokens * in, NAN), added = before, rotated(tokens * in, NAN);
        linear.gather_rows(ids.data(), out, rows.data(), pool);
        linear.backward(gradient.data(), tokens, written.data(), false, false, pool);
        linear.backward(gradient.data(), tokens, added.data(), false, true, pool);
        linear.backward(gradient.data(), tokens, rotated.data(), true, false, pool);
        if (turned) rotation->apply(rotated.data(), tokens, true, pool);
        for (size_t token = 0; token < tokens; ++token) {
          for (size_t i = 0; i < in; ++i) {
            double expected = 0;
            for (size_t k = 0; k < out; ++k)
              expected += static_cast<double>(gradient[token * out + k]) * rows[k * in + i];
            REQUIRE(std::fabs(written[token * in + i] - expected) < 1e-3);
            REQUIRE(std::fabs(added[token * in + i] - expected - before[token * in + i]) < 1e-3);
            REQUIRE(std::fabs(rotated[token * in + i] - expected) < 1e-3);
          }
        }
      }
    }
  }
}

TEST_CASE("scale gradients of a layer are those of its weights for the sum of g (V x)^T, for any number of threads") {
  const size_t in = 48, out = 101, tokens = 37;
  RandomInputs inputs(11);
  PyramidCache pyramids;
  const PvqLayout layout(in, {{32, 8, 5, {1, 2}}, {16, 4, 3, {0, 1, 3}}}, pyramids);
  std::vector<uint8_t> codes(out * layout.row_bytes);
  for (size_t row = 0, at = 0; row < out; ++row) {
    for (const PvqCode& code : layout.codes) {
      std::vector<uint64_t> values(code.groups);
      for (size_t g = 0; g < code.groups; ++g) {
        values[g] = (row * 7919 + g * 104729) % (code.count() * code.levels.size());
      }
      pack_codes(values.data(), code.groups, code.bits, codes.data() + at);
      at += code.bytes;
    }
  }
  std::vector<uint16_t> row_scale;
  for (float scale : inputs.normal(out)) row_scale.push_back(float_to_half(scale));
  LinearParts parts;
  parts.weights = std::make_unique<PvqMatrix>(out, layout, codes.data(), row_scale.data());
  const auto rotation = std::make_shared<const Rotation>(random_signs(inputs, in), 4, hartley(3));
  parts.rotation = rotation;
  const Linear linear(std::move(parts));
  REQUIRE(linear.pvq() != nullptr);
  CHECK(Layer(8, 3, 0, 1).build(nullptr).pvq() == nullptr);

  const std::vector<float> x = inputs.normal(tokens * in), gradient = inputs.normal(tokens * out);
  ThreadPool one(1), three(3);
  std::vector<float> turned = x, weight_gradient(out * in);
  rotation->apply(turned.data(), tokens, false, one);
  for (size_t row = 0; row < out; ++row) {
    for (size_t i = 0; i < in; ++i) {
      double sum = 0;
      for (size_t t = 0; t < tokens; ++t) sum += static_cast<double>(gradient[t * out + row]) * turned[t * in + i];
      weight_gradient[row * in + i] = static_cast<float>(sum);
    }
  }
  std::vector<double> expected_scale(out), expected_levels(5);
  linear.pvq()->scale_gradients(0, out, weight_gradient.data(), expected_scale.data(), expected_levels.data());
  const ScaleGradients found = linear.scale_gradients(x.data(), gradient.data(), tokens, one);
  const ScaleGradients same = linear.scale_gradients(x.data(), gradient.data(), tokens, three);
  CHECK(found.row_scale == same.row_scale);
  CHECK(found.levels == same.levels);
  for (size_t row = 0; row < out; ++row) CHECK(std::fabs(found.row_scale[row] - expected_scale[row]) < 1e-3);
  for (size_t level = 0; level < 5; ++level) CHECK(std::fabs(found.levels[level] - expected_levels[level]) < 1e-2);
  CHECK(found.levels[2] == 0);
}
