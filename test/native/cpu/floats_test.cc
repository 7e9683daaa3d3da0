// Every float kernel of every instruction set the processor has, against plain loops in double.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "../core/random_inputs.h"
#include "../present_sets.h"
#include "core/matrix/half.h"
#include "cpu/floats/kernels.h"

using namespace pyramidion;

namespace {

// Around every vector length, and long ones.
const std::vector<size_t> kLengths = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 576, 1001};

template <class T>
void check_products(const ProductKernels<T>& kernels, double tolerance) {
  for (size_t rows : {1, 2, 11, 12, 13, 25}) {
    for (size_t columns : {1, 7, 16, 33, 65}) {
      for (size_t depth : {1, 2, 33, 70}) {
        RandomInputs inputs(rows * 10000 + columns * 100 + depth);
        const std::vector<float> a_values = inputs.normal(rows * depth), b_values = inputs.normal(columns * depth);
        const std::vector<T> a(a_values.begin(), a_values.end()), b(b_values.begin(), b_values.end());
        std::vector<T> panels((columns + kernels.panel - 1) / kernels.panel * kernels.panel * depth, T(NAN));
        std::vector<T> c(rows * columns, T(1));
        // b by rows, then stored the other way round; the same for a and c.
        for (bool turned : {false, true}) {
          kernels.pack(b.data(), turned ? 1 : depth, turned ? columns : 1, columns, depth, panels.data());
          kernels.multiply(a.data(), turned ? 1 : depth, turned ? rows : 1, rows, panels.data(), columns, depth, T(0.5),
                           turned, c.data(), turned ? 1 : columns, turned ? rows : 1);
          for (size_t i = 0; i < rows; ++i) {
            for (size_t j = 0; j < columns; ++j) {
              double sum = 0;
              for (size_t k = 0; k < depth; ++k) {
                const double x = turned ? a[k * rows + i] : a[i * depth + k];
                sum += 0.5 * x * (turned ? b[k * columns + j] : b[j * depth + k]);
              }
              if (turned) sum += 1;
              REQUIRE(std::fabs(c[turned ? j * rows + i : i * columns + j] - sum) < tolerance);
            }
          }
          std::fill(c.begin(), c.end(), T(1));
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("products equal plain sums at any size and stride") {
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    check_products(float_kernels(set).f32, 1e-4);
    check_products(float_kernels(set).f64, 1e-12);
  }
}

TEST_CASE("dot products, scalings and maxima equal plain loops at any length") {
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    const FloatKernels& kernels = float_kernels(set);
    for (size_t count : kLengths) {
      RandomInputs inputs(count);
      const std::vector<float> x = inputs.normal(count), y = inputs.normal(count);
      double sum = 0, largest = x[0];
      for (size_t i = 0; i < count; ++i) {
        sum += static_cast<double>(x[i]) * y[i];
        largest = std::max<double>(largest, x[i]);
      }
      CHECK(std::fabs(kernels.f32.dot(x.data(), y.data(), count) - sum) < 1e-4);
      CHECK(kernels.maximum(x.data(), count) == largest);
      const std::vector<double> wide_x(x.begin(), x.end()), wide_y(y.begin(), y.end());
      CHECK(std::fabs(kernels.f64.dot(wide_x.data(), wide_y.data(), count) - sum) < 1e-12);
      std::vector<float> added = y, scaled = x, multiplied(count);
      kernels.f32.add_scaled(0.25f, x.data(), added.data(), count);
      kernels.scale(3.0f, scaled.data(), count);
      kernels.multiply(x.data(), y.data(), multiplied.data(), count);
      for (size_t i = 0; i < count; ++i) {
        REQUIRE(added[i] == doctest::Approx(y[i] + 0.25 * x[i]).epsilon(1e-5));
        REQUIRE(scaled[i] == 3.0f * x[i]);
        REQUIRE(multiplied[i] == x[i] * y[i]);
      }
    }
  }
}

namespace {

float as_float(float value) { return value; }
float as_float(uint16_t half) { return half_to_float(half); }
float as_float(int8_t value) { return value; }

// Buffers end where the rows do, for sanitizers to see what reads beyond.
template <class T>
void check_rows(const RowKernels<T>& kernels, const std::vector<T>& rows, size_t vectors, size_t stride, size_t count,
                size_t width, double tolerance) {
  RandomInputs inputs(width * 100 + count * 10 + vectors);
  const std::vector<float> x = inputs.normal(vectors * width), weights = inputs.normal(vectors * count);
  const std::vector<float> before = inputs.normal(vectors * width);
  std::vector<float> dots(vectors * count, NAN), sums = before, floats(rows.size(), NAN);
  kernels.dots(x.data(), vectors, rows.data(), stride, count, width, 0.5f, dots.data());
  kernels.add_weighted(weights.data(), vectors, rows.data(), stride, count, width, sums.data());
  kernels.widen(rows.data(), rows.size(), floats.data());
  for (size_t i = 0; i < rows.size(); ++i) REQUIRE(floats[i] == as_float(rows[i]));
  for (size_t v = 0; v < vectors; ++v) {
    for (size_t row = 0; row < count; ++row) {
      double dot = 0;
      for (size_t i = 0; i < width; ++i) dot += static_cast<double>(x[v * width + i]) * floats[row * stride + i];
      REQUIRE(std::fabs(dots[v * count + row] - 0.5 * dot) < tolerance);
    }
    for (size_t i = 0; i < width; ++i) {
      double sum = before[v * width + i];
      for (size_t row = 0; row < count; ++row) {
        sum += static_cast<double>(weights[v * count + row]) * floats[row * stride + i];
      }
      REQUIRE(std::fabs(sums[v * width + i] - sum) < tolerance);
    }
  }
}

}  // namespace

TEST_CASE(
    "scores and weighted sums of attention equal plain loops in every format, for any number of rows and vectors") {
  for (InstructionSet set : present_sets()) {
    const FloatKernels& kernels = float_kernels(set);
    for (size_t width : {1, 7, 16, 33, 64, 80, 135}) {
      for (size_t count : {1, 2, 11, 29}) {
        for (size_t vectors : {1, 2, 3, 4, 7, 8}) {
          INFO(name_of(set), ", ", width, ", ", count, ", ", vectors);
          const size_t stride = width + count % 3, size = (count - 1) * stride + width;
          RandomInputs inputs(size);
          const std::vector<float> rows = inputs.normal(size);
          std::vector<uint16_t> halves(size);
          for (size_t i = 0; i < size; ++i) halves[i] = float_to_half(rows[i]);
          check_rows(kernels.f32_rows, rows, vectors, stride, count, width, 1e-4);
          check_rows(kernels.f16_rows, halves, vectors, stride, count, width, 1e-4);
          check_rows(kernels.int8_rows, inputs.integers<int8_t>(size, -128, 127), vectors, stride, count, width, 1e-2);
        }
      }
    }
  }
}

TEST_CASE("every half is widened to its value") {
  std::vector<uint16_t> halves(0x10000);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    std::vector<float> values(halves.size());
    float_kernels(set).f16_rows.widen(halves.data(), halves.size(), values.data());
    for (size_t i = 0; i < halves.size(); ++i) {
      const float expected = half_to_float(halves[i]);
      REQUIRE((std::isnan(expected) ? std::isnan(values[i]) : bits_of_float(values[i]) == bits_of_float(expected)));
    }
  }
}

TEST_CASE("floats are rounded to halves and to multiples in int8, halves to the even") {
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    const FloatKernels& kernels = float_kernels(set);
    for (size_t count : kLengths) {
      std::vector<float> x = RandomInputs(count).normal(count);
      const float special[] = {0.5f, 1.5f, -2.5f, 1e-7f, 3e-6f, -0.0f, 2.0f + 0x1p-10f, 126.5f};
      for (size_t i = 0; i < count && i < 8; ++i) x[i] = special[i];
      std::vector<uint16_t> halves(count);
      std::vector<int8_t> multiples(count);
      kernels.narrow_to_f16(x.data(), count, halves.data());
      kernels.narrow_to_int8(x.data(), count, 0.75f, multiples.data());
      for (size_t i = 0; i < count; ++i) {
        REQUIRE(halves[i] == float_to_half(x[i]));
        REQUIRE(multiples[i] == std::nearbyint(x[i] * 0.75f));
      }
    }
    const float extreme[] = {1e6f, -INFINITY, NAN, 65504.0f, 0, 0, 0, 0, 0};
    uint16_t halves[9];
    kernels.narrow_to_f16(extreme, 9, halves);
    CHECK(halves[0] == 0x7c00);
    CHECK(halves[1] == 0xfc00);
    CHECK(std::isnan(half_to_float(halves[2])));
    CHECK(halves[3] == 0x7bff);
  }
}

TEST_CASE("products of int8 rows with 16-bit vectors equal plain loops for any number of rows") {
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    for (size_t width : {32, 64, 576, 2144}) {
      for (size_t count : {1, 3, 4, 9}) {
        RandomInputs inputs(width * 10 + count);
        const auto x = inputs.integers<int16_t>(width, -32767, 32767);
        const auto values = inputs.integers<int8_t>(count * width, -128, 127);
        const std::vector<float> scales = inputs.normal(count * width / 32);
        std::vector<float> y(count, NAN);
        float_kernels(set).row_dots_int8(x.data(), values.data(), scales.data(), count, width, 0.5f, y.data());
        for (size_t row = 0; row < count; ++row) {
          double sum = 0, size = 0;
          for (size_t i = 0; i < width; ++i) {
            const double term = 0.5 * x[i] * values[row * width + i] * scales[(row * width + i) / 32];
            sum += term;
            size += std::fabs(term);
          }
          REQUIRE(std::fabs(y[row] - sum) < 1e-6 * size);
        }
      }
    }
  }
}

TEST_CASE("the Hadamard transform equals its definition, (-1)^|i & j|") {
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    for (size_t count = 1; count <= 512; count *= 2) {
      const std::vector<float> x = RandomInputs(count).normal(count);
      std::vector<float> y = x;
      float_kernels(set).hadamard(y.data(), count);
      for (size_t i = 0; i < count; ++i) {
        double sum = 0;
        for (size_t j = 0; j < count; ++j) sum += __builtin_popcountll(i & j) % 2 ? -x[j] : x[j];
        REQUIRE(std::fabs(y[i] - sum) < 1e-4);
      }
    }
  }
}

TEST_CASE("the exponential is within 2e-7 of its value over its whole range, and zero below it") {
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    const FloatKernels& kernels = float_kernels(set);
    std::vector<float> x, original;
    for (float value = -87.25f; value < 88.5f; value += 0.0137f) original.push_back(value);
    x = original;
    kernels.exponentials(x.data(), x.size(), 0);
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = std::exp(static_cast<double>(original[i]));
      REQUIRE(std::fabs(x[i] - expected) <= 2e-7 * expected);
    }
    std::vector<float> low = {-88.0f, -1000.0f, -INFINITY, 0.0f};
    CHECK(kernels.exponentials(low.data(), low.size(), 0) == 1.0f);
    CHECK(low == std::vector<float>{0, 0, 0, 1});
  }
}

TEST_CASE("sums of exponentials, divergences, SiLU and its gradient equal plain loops at any length") {
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    const FloatKernels& kernels = float_kernels(set);
    for (size_t count : kLengths) {
      RandomInputs inputs(count + 7);
      std::vector<float> x = inputs.normal(count), y = inputs.normal(count), out(count);
      double sum = 0, divergence = 0;
      for (size_t i = 0; i < count; ++i) {
        sum += std::exp(x[i] - 0.5);
        divergence += std::exp(x[i] - 3.0) * (x[i] - 3.0 - (y[i] - 4.0));
      }
      CHECK(kernels.sum_exponentials(x.data(), count, 0.5f) == doctest::Approx(sum).epsilon(1e-6));
      CHECK(std::fabs(kernels.divergence(x.data(), y.data(), count, 3.0f, 4.0f) - divergence) < 1e-6 * count);
      kernels.silu_multiply(x.data(), y.data(), out.data(), count);
      for (size_t i = 0; i < count; ++i) {
        REQUIRE(out[i] == doctest::Approx(x[i] / (1 + std::exp(-static_cast<double>(x[i]))) * y[i]).epsilon(1e-6));
      }
      const std::vector<float> gradient = inputs.normal(count);
      std::vector<float> gate = x, up = y;
      kernels.silu_multiply_backward(gate.data(), up.data(), gradient.data(), count);
      for (size_t i = 0; i < count; ++i) {
        const double sigmoid = 1 / (1 + std::exp(-static_cast<double>(x[i]))), silu = x[i] * sigmoid;
        REQUIRE(std::fabs(gate[i] - gradient[i] * y[i] * (sigmoid + silu * (1 - sigmoid))) < 1e-5);
        REQUIRE(std::fabs(up[i] - gradient[i] * silu) < 1e-5);
      }
      CHECK(kernels.exponentials(x.data(), count, 0.5f) == doctest::Approx(sum).epsilon(1e-5));
    }
  }
}

TEST_CASE("rounding to multiples equals plain loops bit for bit, clamps, and leaves NaN") {
  for (InstructionSet set : present_sets()) {
    INFO(name_of(set));
    const FloatKernels& kernels = float_kernels(set);
    for (size_t count : kLengths) {
      std::vector<float> x = RandomInputs(count + 11).normal(count);
      // Halfway between two multiples, beyond the limit, and not a number.
      x[0] = 0.625f;
      if (count > 5) x[5] = -8;
      float largest = 0;
      for (float value : x) largest = std::max(largest, std::fabs(value));
      CHECK(kernels.largest_magnitude(x.data(), count) == largest);
      if (count > 2) x[2] = NAN;
      CHECK(kernels.largest_magnitude(x.data(), count) <= largest);
      std::vector<float> rounded = x;
      kernels.round_to_multiples(0.25f, 4.0f, 7.0f, rounded.data(), count);
      for (size_t i = 0; i < count; ++i) {
        if (std::isnan(x[i])) {
          REQUIRE(std::isnan(rounded[i]));
        } else {
          REQUIRE(rounded[i] == 0.25f * std::min(std::max(std::nearbyint(x[i] * 4.0f), -7.0f), 7.0f));
        }
      }
      CHECK(rounded[0] == 0.5f);
    }
  }
}
