// What a layer puts out, in double, from the same numbers as its kernels get.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "device_matrix.h"
#include "layer_inputs.h"

struct Sum {
  double value = 0;
  // Sum of |terms|, which rounding errors are measured by.
  double magnitude = 0;

  void add(double term) {
    value += term;
    magnitude += std::fabs(term);
  }
};

template <class Value>
Sum weight_product(const StoredMatrix& matrix, const LayerInputs<Value>& inputs, size_t row, uint32_t token) {
  Sum sum;
  for (size_t c = 0; c < matrix.columns; ++c) sum.add(matrix.values[row * matrix.columns + c] * inputs.value(token, c));
  return sum;
}

// What B t, a bias and what was there before add to `sum`; each of the two may be 0.
inline Sum with_rest(Sum sum, const LowRankFactor& factor, uint32_t rank, double bias, double before, size_t row,
                     uint32_t token) {
  for (uint32_t k = 0; k < rank; ++k) sum.add(factor.value(row, k) * factor.projected(token, k));
  sum.add(bias);
  sum.add(before);
  return sum;
}

// Requires that outputs, tokens x y_stride, are W x + B t + bias (none: empty), added to those before where
// `accumulate`, and that what is behind the rows is as it was.
template <class Value>
void require_outputs(const std::vector<float>& result, const StoredMatrix& matrix, const LayerInputs<Value>& inputs,
                     uint32_t tokens, const LowRankFactor& factor, uint32_t rank, const std::vector<float>& bias,
                     const std::vector<float>& before, bool accumulate) {
  const size_t y_stride = before.size() / tokens;
  for (uint32_t t = 0; t < tokens; ++t) {
    for (size_t row = 0; row < matrix.rows; ++row) {
      const Sum expected = with_rest(weight_product(matrix, inputs, row, t), factor, rank, bias.empty() ? 0 : bias[row],
                                     accumulate ? before[t * y_stride + row] : 0, row, t);
      REQUIRE(std::fabs(result[t * y_stride + row] - expected.value) <= 2e-6 * expected.magnitude);
    }
    for (size_t beyond = matrix.rows; beyond < y_stride; ++beyond) {
      REQUIRE(result[t * y_stride + beyond] == before[t * y_stride + beyond]);
    }
  }
}
