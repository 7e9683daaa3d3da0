#include <doctest/doctest.h>

#include <cmath>

#include "../random_inputs.h"
#include "core/model/attention.h"
#include "core/model/elementwise.h"
#include "core/model/logit_statistics.h"

using namespace pyramidion;

namespace {

constexpr KeyValueFormat kFormats[] = {KeyValueFormat::f32, KeyValueFormat::f16, KeyValueFormat::int8};

// Relative to the largest magnitude of a head: half a place of its mantissa, half a step.
double rounding_of(KeyValueFormat format) {
  return format == KeyValueFormat::f32 ? 0 : format == KeyValueFormat::f16 ? 0x1p-11 : 0.5 / 127;
}

std::vector<double> plain_attention(const std::vector<float>& query, const std::vector<float>& keys,
                                    const std::vector<float>& values, const AttentionShape& s) {
  const size_t d = s.head_dimension, group = s.heads / s.key_value_heads;
  std::vector<double> out(query.size());
  for (size_t token = 0; token < s.tokens; ++token) {
    const size_t position = s.past + token;
    const size_t first = s.window == 0 || position < s.window ? 0 : position + 1 - s.window;
    for (size_t head = 0; head < s.heads; ++head) {
      const float* q = query.data() + (token * s.heads + head) * d;
      std::vector<double> weights;
      double sum = 0;
      for (size_t key = first; key <= position; ++key) {
        double score = 0;
        for (size_t i = 0; i < d; ++i) score += q[i] * keys[(key * s.key_value_heads + head / group) * d + i];
        weights.push_back(std::exp(score / std::sqrt(d)));
        sum += weights.back();
      }
      for (size_t key = first; key <= position; ++key) {
        for (size_t i = 0; i < d; ++i) {
          out[(token * s.heads + head) * d + i] +=
              weights[key - first] / sum * values[(key * s.key_value_heads + head / group) * d + i];
        }
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("attention equals the plain softmax, for prompts, single tokens, grouped heads and windows") {
  const AttentionShape shapes[] = {{1, 0, 1, 1, 1, 0},        {1, 300, 9, 3, 64, 0},   {2, 5, 4, 2, 7, 3},
                                   {1, 2999, 7, 1, 16, 0},    {3, 400, 2, 1, 20, 130}, {1, 127, 8, 2, 20, 0},
                                   {33, 0, 3, 1, 64, 0},      {64, 17, 6, 2, 20, 0},   {150, 140, 4, 4, 16, 0},
                                   {150, 140, 4, 2, 16, 33},  {300, 0, 2, 1, 33, 150}, {8, 0, 1, 1, 5, 1},
                                   {40, 300, 14, 2, 10, 129}, {7, 254, 1, 1, 12, 0}};
  for (const AttentionShape& shape : shapes) {
    INFO(shape.tokens, ", ", shape.past, ", ", shape.heads, ", ", shape.head_dimension, ", ", shape.window);
    const size_t positions = shape.past + shape.tokens, d = shape.head_dimension;
    RandomInputs inputs(positions);
    const std::vector<float> query = inputs.normal(shape.tokens * shape.heads * d);
    const std::vector<float> keys = inputs.normal(positions * shape.key_value_heads * d);
    const std::vector<float> values = inputs.normal(positions * shape.key_value_heads * d);
    const std::vector<double> expected = plain_attention(query, keys, values, shape);
    const auto check = [&](const KeyValues& key_values, double tolerance) {
      std::vector<float> first;
      for (size_t threads : {1, 3}) {
        ThreadPool pool(threads);
        std::vector<float> out(query.size(), NAN);
        attention(query.data(), key_values, shape, out.data(), pool);
        for (size_t i = 0; i < out.size(); ++i) REQUIRE(std::fabs(out[i] - expected[i]) < tolerance);
        if (first.empty()) first = out;
        REQUIRE(out == first);
      }
    };
    check(KeyValues::of_floats(keys.data(), values.data(), shape.key_value_heads, d), 1e-5);
    for (KeyValueFormat format : kFormats) {
      KeyValueCache cache(format, 1, shape.key_value_heads, d);
      cache.reserve(positions);
      cache.store(0, 0, positions, keys.data(), values.data());
      check(cache.layer(0), 1e-5 + 12 * rounding_of(format));
    }
  }
}

TEST_CASE("a cache holds what was stored token by token or at once, rounded, while it grows") {
  const size_t heads = 3, d = 5, positions = 300, layers = 2, width = heads * d;
  RandomInputs inputs(5);
  const std::vector<float> keys = inputs.normal(positions * width), values = inputs.normal(positions * width);
  for (KeyValueFormat format : kFormats) {
    KeyValueCache grown(format, layers, heads, d), whole(format, layers, heads, d);
    CHECK(grown.bytes() == 0);
    whole.reserve(positions);
    CHECK(whole.capacity() == 384);
    const size_t row_bytes = format == KeyValueFormat::f32 ? 4 * d : format == KeyValueFormat::f16 ? 2 * d : d + 4;
    CHECK(whole.bytes() == layers * 2 * 384 * heads * row_bytes);
    for (size_t layer = 0; layer < layers; ++layer) {
      whole.store(layer, 0, positions, layer == 0 ? keys.data() : values.data(), values.data());
    }
    for (size_t p = 0; p < positions; ++p) {
      grown.reserve(p + 1);
      for (size_t layer = 0; layer < layers; ++layer) {
        grown.store(layer, p, 1, (layer == 0 ? keys.data() : values.data()) + p * width, values.data() + p * width);
      }
    }
    // One position that is seen alone is given back as it is held.
    ThreadPool pool(1);
    const std::vector<float> query(width, 1.0f);
    for (size_t layer = 0; layer < layers; ++layer) {
      for (size_t p = 0; p < positions; ++p) {
        std::vector<float> out(width), same(width);
        const AttentionShape shape{1, p, heads, heads, d, 1};
        attention(query.data(), grown.layer(layer), shape, out.data(), pool);
        attention(query.data(), whole.layer(layer), shape, same.data(), pool);
        REQUIRE(out == same);
        for (size_t i = 0; i < width; ++i) {
          REQUIRE(std::fabs(out[i] - values[p * width + i]) <= 4 * rounding_of(format));
        }
      }
    }
  }
}

TEST_CASE("keys and values that are not finite, or zero, stay so in int8") {
  ThreadPool pool(1);
  for (float value : {NAN, INFINITY, 0.0f}) {
    KeyValueCache cache(KeyValueFormat::int8, 1, 1, 4);
    cache.reserve(1);
    const float row[] = {0, value, 0, 0};
    cache.store(0, 0, 1, row, row);
    float out[4];
    attention(row, cache.layer(0), {1, 0, 1, 1, 4, 0}, out, pool);
    for (float result : out) CHECK((value == 0 ? result == 0 : std::isnan(result)));
  }
}

TEST_CASE("attention survives scores far beyond the range of the exponential") {
  ThreadPool pool(1);
  for (size_t tokens : {1, 40}) {
    const AttentionShape shape{tokens, 200, 1, 1, 4, 0};
    std::vector<float> query(tokens * 4, 100.0f), keys((200 + tokens) * 4, -100.0f), values((200 + tokens) * 4, 1.0f);
    std::fill_n(keys.begin() + 150 * 4, 4, 100.0f);
    std::fill_n(values.begin() + 150 * 4, 4, 7.0f);
    std::vector<float> out(tokens * 4);
    attention(query.data(), KeyValues::of_floats(keys.data(), values.data(), 1, 4), shape, out.data(), pool);
    for (float value : out) CHECK(value == doctest::Approx(7.0));
  }
}

TEST_CASE("RMS normalisation divides by the root mean square, in place too") {
  ThreadPool pool(2);
  for (size_t width : {1, 5, 576}) {
    const size_t rows = 70;
    RandomInputs inputs(width);
    std::vector<float> x = inputs.normal(rows * width);
    const std::vector<float> weight = inputs.normal(width), original = x;
    std::vector<float> out(x.size());
    rms_norm(x.data(), weight.data(), width, 1e-5f, rows, out.data(), pool);
    rms_norm(x.data(), weight.data(), width, 1e-5f, rows, x.data(), pool);
    CHECK(x == out);
    for (size_t row = 0; row < rows; ++row) {
      double square = 0;
      for (size_t i = 0; i < width; ++i) square += std::pow(original[row * width + i], 2) / width;
      for (size_t i = 0; i < width; ++i) {
        const double expected = original[row * width + i] / std::sqrt(square + 1e-5) * weight[i];
        REQUIRE(out[row * width + i] == doctest::Approx(expected).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("rotary embedding turns each pair (i, i + half) by its angle") {
  ThreadPool pool(2);
  const size_t tokens = 9, heads = 3, half = 5;
  RandomInputs inputs(31);
  const std::vector<float> original = inputs.normal(tokens * heads * 2 * half), angles = inputs.normal(tokens * half);
  std::vector<float> x = original, cosine, sine;
  for (float angle : angles) {
    cosine.push_back(std::cos(angle));
    sine.push_back(std::sin(angle));
  }
  rotary(x.data(), tokens, heads, half, cosine.data(), sine.data(), pool);
  for (size_t i = 0; i < tokens * heads; ++i) {
    for (size_t k = 0; k < half; ++k) {
      const double a = original[i * 2 * half + k], b = original[i * 2 * half + half + k];
      const double angle = angles[i / heads * half + k];
      REQUIRE(x[i * 2 * half + k] == doctest::Approx(a * std::cos(angle) - b * std::sin(angle)).epsilon(1e-5));
      REQUIRE(x[i * 2 * half + half + k] == doctest::Approx(b * std::cos(angle) + a * std::sin(angle)).epsilon(1e-5));
    }
  }
}

TEST_CASE("SiLU and addition work in place and at any length") {
  ThreadPool pool(3);
  for (size_t count : {0, 1, 17, 70001}) {
    RandomInputs inputs(count);
    std::vector<float> gate = inputs.normal(count);
    for (float& value : gate) value *= 20;
    const std::vector<float> up = inputs.normal(count);
    std::vector<float> out(count), sum = gate;
    silu_multiply(gate.data(), up.data(), out.data(), count, pool);
    add_in_place(sum.data(), up.data(), count, pool);
    for (size_t i = 0; i < count; ++i) {
      REQUIRE(sum[i] == gate[i] + up[i]);
      const double expected = gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i];
      REQUIRE(std::fabs(out[i] - expected) <= 1e-6 * std::fabs(expected) + 1e-30);
    }
    silu_multiply(gate.data(), up.data(), gate.data(), count, pool);
    CHECK(gate == out);
  }
}

TEST_CASE("squared norms of rows equal plain sums") {
  ThreadPool pool(3);
  for (size_t width : {1, 17, 576}) {
    const size_t rows = 200;
    const std::vector<float> x = RandomInputs(width).normal(rows * width);
    std::vector<float> out(rows);
    row_squared_norms(x.data(), width, rows, out.data(), pool);
    for (size_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (size_t i = 0; i < width; ++i) sum += std::pow(x[row * width + i], 2);
      REQUIRE(out[row] == doctest::Approx(sum).epsilon(1e-5));
    }
  }
}

TEST_CASE("logit statistics agree with plain sums in double") {
  ThreadPool pool(2);
  for (size_t vocabulary : {1, 2, 33, 5000}) {
    const size_t rows = 6;
    RandomInputs inputs(vocabulary);
    std::vector<float> logits = inputs.normal(rows * vocabulary), reference = logits;
    const std::vector<float> noise = inputs.normal(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) {
      reference[i] = 8 * reference[i] + 30;
      logits[i] = reference[i] + 0.1f * noise[i];
    }
    std::copy_n(reference.begin(), vocabulary, logits.begin());  // the first row is the same
    const auto targets = inputs.integers<int32_t>(rows, 0, static_cast<int>(vocabulary) - 1);
    const LogitStatistics found =
        logit_statistics(logits.data(), reference.data(), targets.data(), rows, vocabulary, pool);
    CHECK(found.kl_divergence[0] == 0);
    CHECK(found.same_top[0] == 1);
    for (size_t row = 0; row < rows; ++row) {
      const float *q = logits.data() + row * vocabulary, *p = reference.data() + row * vocabulary;
      long double q_sum = 0, p_sum = 0, divergence = 0;
      for (size_t i = 0; i < vocabulary; ++i) {
        q_sum += std::exp(static_cast<long double>(q[i]));
        p_sum += std::exp(static_cast<long double>(p[i]));
      }
      for (size_t i = 0; i < vocabulary; ++i) {
        divergence +=
            std::exp(static_cast<long double>(p[i])) / p_sum * (p[i] - std::log(p_sum) - q[i] + std::log(q_sum));
      }
      CHECK(std::fabs(found.negative_log_likelihood[row] - static_cast<double>(std::log(q_sum) - q[targets[row]])) <
            1e-6);
      CHECK(std::fabs(found.reference_negative_log_likelihood[row] -
                      static_cast<double>(std::log(p_sum) - p[targets[row]])) < 1e-6);
      CHECK(std::fabs(found.kl_divergence[row] - static_cast<double>(divergence)) < 2e-6);
      const bool same = std::max_element(q, q + vocabulary) - q == std::max_element(p, p + vocabulary) - p;
      CHECK(found.same_top[row] == same);
    }
    CHECK(logit_statistics(logits.data(), nullptr, targets.data(), rows, vocabulary, pool).kl_divergence.empty());
  }
}
