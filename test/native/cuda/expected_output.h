// What a layer puts out, in double, from the same numbers as its kernels get.
#pragma once

#include <cmath>

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
