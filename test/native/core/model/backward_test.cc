// Every gradient against central differences of the operation's definition in double.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "../random_inputs.h"
#include "core/model/attention_backward.h"
#include "core/model/elementwise_backward.h"
#include "core/model/logit_gradient.h"

using namespace pyramidion;

namespace {

using Doubles = std::vector<double>;

// The gradient of <weights, f(x)> at x.
Doubles central_differences(const std::vector<float>& weights, const std::vector<float>& x,
                            const std::function<Doubles(const Doubles&)>& f) {
  const auto loss = [&](const Doubles& at) {
    const Doubles values = f(at);
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += weights[i] * values[i];
    return sum;
  };
  constexpr double step = 1e-5;
  Doubles at(x.begin(), x.end()), gradient;
  for (double& value : at) {
    const double middle = value;
    value = middle + step;
    const double above = loss(at);
    value = middle - step;
    gradient.push_back((above - loss(at)) / (2 * step));
    value = middle;
  }
  return gradient;
}

void check_close(const std::vector<float>& found, const Doubles& expected, double tolerance) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    REQUIRE(std::fabs(found[i] - expected[i]) < tolerance * (1 + std::fabs(expected[i])));
  }
}

Doubles plain_attention(const Doubles& query, const Doubles& keys, const Doubles& values, const AttentionShape& s) {
  const size_t d = s.head_dimension, group = s.heads / s.key_value_heads;
  Doubles out(query.size());
  for (size_t token = 0; token < s.tokens; ++token) {
    const size_t first = s.window == 0 || token < s.window ? 0 : token + 1 - s.window;
    for (size_t head = 0; head < s.heads; ++head) {
      Doubles weights;
      double sum = 0;
      const auto at = [&](size_t key) { return (key * s.key_value_heads + head / group) * d; };
      for (size_t key = first; key <= token; ++key) {
        double score = 0;
        for (size_t i = 0; i < d; ++i) score += query[(token * s.heads + head) * d + i] * keys[at(key) + i];
        weights.push_back(std::exp(score / std::sqrt(d)));
        sum += weights.back();
      }
      for (size_t key = first; key <= token; ++key) {
        for (size_t i = 0; i < d; ++i) {
          out[(token * s.heads + head) * d + i] += weights[key - first] / sum * values[at(key) + i];
        }
      }
    }
  }
  return out;
}

struct AttentionCase {
  AttentionShape shape;
  std::vector<float> query, keys, values, gradient;

  explicit AttentionCase(const AttentionShape& shape) : shape(shape) {
    RandomInputs inputs(shape.tokens * 100 + shape.heads);
    const size_t width = shape.tokens * shape.head_dimension;
    query = inputs.normal(width * shape.heads);
    keys = inputs.normal(width * shape.key_value_heads);
    values = inputs.normal(width * shape.key_value_heads);
    gradient = inputs.normal(query.size());
  }

  // Gradients at query, keys and values.
  std::vector<std::vector<float>> run(ThreadPool& pool) const {
    std::vector<std::vector<float>> found = {std::vector<float>(query.size(), NAN),
                                             std::vector<float>(keys.size(), NAN),
                                             std::vector<float>(values.size(), NAN)};
    attention_backward(query.data(), keys.data(), values.data(), gradient.data(), shape, found[0].data(),
                       found[1].data(), found[2].data(), pool);
    return found;
  }
};

Doubles softmax_of(const float* logits, size_t count) {
  Doubles powers;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    powers.push_back(std::exp(static_cast<double>(logits[i])));
    sum += powers.back();
  }
  for (double& power : powers) power /= sum;
  return powers;
}

}  // namespace

TEST_CASE("the gradient of attention equals central differences, for grouped heads and windows") {
  const AttentionShape shapes[] = {{1, 0, 2, 1, 3, 0}, {9, 0, 4, 2, 5, 0}, {20, 0, 3, 1, 4, 6}, {33, 0, 2, 2, 8, 0}};
  for (size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const AttentionShape& shape : shapes) {
      INFO(shape.tokens, ", ", shape.heads, ", ", shape.key_value_heads, ", ", shape.window);
      const AttentionCase inputs(shape);
      const Doubles query(inputs.query.begin(), inputs.query.end()), keys(inputs.keys.begin(), inputs.keys.end()),
          values(inputs.values.begin(), inputs.values.end());
      const auto found = inputs.run(pool);
      check_close(found[0], central_differences(inputs.gradient, inputs.query, [&](const Doubles& x) {
                    return plain_attention(x, keys, values, shape);
                  }), 1e-5);
      check_close(found[1], central_differences(inputs.gradient, inputs.keys, [&](const Doubles& x) {
                    return plain_attention(query, x, values, shape);
                  }), 1e-5);
      check_close(found[2], central_differences(inputs.gradient, inputs.values, [&](const Doubles& x) {
                    return plain_attention(query, keys, x, shape);
                  }), 1e-5);
    }
  }
}

TEST_CASE("the gradient of attention over several tiles is that along a direction, and the same for any threads") {
  for (const AttentionShape& shape : {AttentionShape{300, 0, 4, 2, 20, 0}, AttentionShape{515, 0, 2, 1, 33, 150}}) {
    INFO(shape.tokens, ", ", shape.window);
    const AttentionCase inputs(shape);
    ThreadPool one(1), three(3);
    const auto found = inputs.run(one);
    CHECK(found == inputs.run(three));
    // d/dt <gradient, attention(x + t direction)> against the sum over query, keys and values.
    RandomInputs random(7);
    const std::vector<float> directions[] = {random.normal(inputs.query.size()), random.normal(inputs.keys.size()),
                                             random.normal(inputs.values.size())};
    const auto loss = [&](double t) {
      const auto moved = [t](const std::vector<float>& x, const std::vector<float>& direction) {
        Doubles result(x.begin(), x.end());
        for (size_t i = 0; i < x.size(); ++i) result[i] += t * direction[i];
        return result;
      };
      const Doubles out = plain_attention(moved(inputs.query, directions[0]), moved(inputs.keys, directions[1]),
                                          moved(inputs.values, directions[2]), shape);
      double sum = 0;
      for (size_t i = 0; i < out.size(); ++i) sum += inputs.gradient[i] * out[i];
      return sum;
    };
    double expected = 0;
    for (size_t part = 0; part < 3; ++part) {
      for (size_t i = 0; i < found[part].size(); ++i) {
        expected += static_cast<double>(found[part][i]) * directions[part][i];
      }
    }
    const double slope = (loss(1e-5) - loss(-1e-5)) / 2e-5;
    CHECK(std::fabs(slope - expected) < 1e-3);
  }
}

TEST_CASE("the gradient of RMS normalisation equals central differences, in place too") {
  ThreadPool pool(2);
  for (size_t width : {1, 5, 64}) {
    const size_t rows = 3;
    INFO(width);
    RandomInputs inputs(width);
    const std::vector<float> x = inputs.normal(rows * width), weight = inputs.normal(width);
    const std::vector<float> gradient = inputs.normal(x.size());
    std::vector<float> out(x.size(), NAN), same = gradient;
    rms_norm_backward(x.data(), weight.data(), width, 1e-2f, rows, gradient.data(), out.data(), pool);
    rms_norm_backward(x.data(), weight.data(), width, 1e-2f, rows, same.data(), same.data(), pool);
    CHECK(out == same);
    check_close(out, central_differences(gradient, x, [&](const Doubles& at) {
                  Doubles result(at.size());
                  for (size_t row = 0; row < rows; ++row) {
                    double square = 0;
                    for (size_t i = 0; i < width; ++i) square += std::pow(at[row * width + i], 2) / width;
                    for (size_t i = 0; i < width; ++i) {
                      result[row * width + i] = at[row * width + i] / std::sqrt(square + 1e-2f) * weight[i];
                    }
                  }
                  return result;
                }), 1e-5);
  }
}

TEST_CASE("the gradient at the weight of RMS normalisation equals plain sums, and is added") {
  for (size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    const size_t rows = 700, width = 70;
    RandomInputs inputs(9);
    const std::vector<float> x = inputs.normal(rows * width), gradient = inputs.normal(rows * width);
    Doubles out(width, 3), expected(width, 3);
    rms_norm_weight_gradient(x.data(), width, 1e-2f, rows, gradient.data(), out.data(), pool);
    for (size_t row = 0; row < rows; ++row) {
      double square = 0;
      for (size_t i = 0; i < width; ++i) square += std::pow(x[row * width + i], 2) / width;
      for (size_t i = 0; i < width; ++i) {
        expected[i] += static_cast<double>(gradient[row * width + i]) * x[row * width + i] / std::sqrt(square + 1e-2);
      }
    }
    for (size_t i = 0; i < width; ++i) CHECK(std::fabs(out[i] - expected[i]) < 1e-4);
  }
}

TEST_CASE("the gradient of SiLU times a factor equals central differences, and is finite far out") {
  ThreadPool pool(2);
  for (size_t count : {1, 17, 40003}) {
    RandomInputs inputs(count);
    std::vector<float> gate = inputs.normal(count), up = inputs.normal(count);
    const std::vector<float> gradient = inputs.normal(count), gates = gate, ups = up;
    silu_multiply_backward(gate.data(), up.data(), gradient.data(), count, pool);
    for (size_t i = 0; i < count; ++i) {
      const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
      const double slope = (silu(gates[i] + 1e-5) - silu(gates[i] - 1e-5)) / 2e-5;
      REQUIRE(std::fabs(gate[i] - gradient[i] * ups[i] * slope) < 1e-5);
      REQUIRE(std::fabs(up[i] - gradient[i] * silu(gates[i])) < 1e-5);
    }
  }
  std::vector<float> gate = {-1000, -90, 90, 1000}, up = {2, 2, 2, 2};
  const std::vector<float> gradient = {1, 1, 1, 1};
  silu_multiply_backward(gate.data(), up.data(), gradient.data(), 4, pool);
  const std::vector<double> gates = {0, 0, 2, 2}, ups = {0, 0, 90, 1000};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(std::fabs(gate[i] - gates[i]) < 1e-30);
    CHECK(std::fabs(up[i] - ups[i]) < 1e-30);
  }
}

TEST_CASE("labels follow the model's distribution, and the gradient is that of their log-probability") {
  ThreadPool pool(3);
  const size_t vocabulary = 7, rows = 4000;
  RandomInputs inputs(5);
  const std::vector<float> one = inputs.normal(vocabulary);
  std::vector<float> logits;
  Doubles uniforms;
  for (size_t row = 0; row < rows; ++row) {
    logits.insert(logits.end(), one.begin(), one.end());
    uniforms.push_back((static_cast<double>(row) + 0.5) / rows);
  }
  std::vector<int32_t> labels(rows, -1);
  sampled_label_gradient(logits.data(), rows, vocabulary, uniforms.data(), labels.data(), pool);
  const Doubles expected = softmax_of(one.data(), vocabulary);
  Doubles shares(vocabulary);
  for (size_t row = 0; row < rows; ++row) {
    REQUIRE(labels[row] >= 0);
    REQUIRE(static_cast<size_t>(labels[row]) < vocabulary);
    shares[labels[row]] += 1.0 / rows;
    for (size_t i = 0; i < vocabulary; ++i) {
      const double value = expected[i] - (static_cast<size_t>(labels[row]) == i ? 1 : 0);
      REQUIRE(std::fabs(logits[row * vocabulary + i] - value) < 1e-6);
    }
  }
  // Evenly spaced numbers give each label its probability to within one row.
  for (size_t i = 0; i < vocabulary; ++i) CHECK(std::fabs(shares[i] - expected[i]) < 1.01 / rows);
}

TEST_CASE("a label that cannot occur is never drawn, at either end of the unit interval") {
  ThreadPool pool(1);
  const double uniforms[] = {0, 0x1.fffffffffffffp-1};
  std::vector<float> logits = {-1000, 3, 2, -1000, -1000, 3, 2, -1000};
  int32_t labels[2];
  sampled_label_gradient(logits.data(), 2, 4, uniforms, labels, pool);
  CHECK(labels[0] == 1);
  CHECK(labels[1] == 2);
}

TEST_CASE("the gradient of the divergence from a reference is the difference of the distributions") {
  ThreadPool pool(2);
  for (size_t vocabulary : {1, 33, 5000}) {
    const size_t rows = 5;
    RandomInputs inputs(vocabulary);
    std::vector<float> logits = inputs.normal(rows * vocabulary);
    const std::vector<float> reference = inputs.normal(rows * vocabulary), original = logits;
    Doubles divergence(rows, NAN);
    distillation_gradient(logits.data(), reference.data(), rows, vocabulary, divergence.data(), pool);
    for (size_t row = 0; row < rows; ++row) {
      const Doubles q = softmax_of(original.data() + row * vocabulary, vocabulary);
      const Doubles p = softmax_of(reference.data() + row * vocabulary, vocabulary);
      double expected = 0;
      for (size_t i = 0; i < vocabulary; ++i) {
        expected += p[i] * std::log(p[i] / q[i]);
        REQUIRE(std::fabs(logits[row * vocabulary + i] - (q[i] - p[i])) < 1e-6);
      }
      CHECK(std::fabs(divergence[row] - expected) < 2e-6);
    }
  }
}
