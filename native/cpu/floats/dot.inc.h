// Sums and scalings of float vectors of any length.
#pragma once

#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

template <class T>
T dot(const T* a, const T* b, size_t count) {
  constexpr size_t lanes = kLanes<T>;
  Vector<T> sums[4] = {};
  size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    for (size_t v = 0; v < 4; ++v) sums[v] = multiply_add(load(a + i + v * lanes), load(b + i + v * lanes), sums[v]);
  }
  for (; i + lanes <= count; i += lanes) sums[0] = multiply_add(load(a + i), load(b + i), sums[0]);
  T sum = sum_of<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

template <class T>
void add_scaled(T factor, const T* x, T* y, size_t count) {
  size_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) {
    store(y + i, multiply_add(broadcast(factor), load(x + i), load(y + i)));
  }
  for (; i < count; ++i) y[i] += factor * x[i];
}

void scale(float factor, float* x, size_t count) {
  size_t i = 0;
  for (; i + kFloats <= count; i += kFloats) store(x + i, load(x + i) * factor);
  for (; i < count; ++i) x[i] *= factor;
}

void multiply(const float* x, const float* factors, float* out, size_t count) {
  size_t i = 0;
  for (; i + kFloats <= count; i += kFloats) store(out + i, load(x + i) * load(factors + i));
  for (; i < count; ++i) out[i] = x[i] * factors[i];
}

float maximum(const float* x, size_t count) {
  float largest = x[0];
  size_t i = 0;
  if (count >= kFloats) {
    FloatVector best = load(x);
    for (; i + kFloats <= count; i += kFloats) {
      const FloatVector value = load(x + i);
      best = value > best ? value : best;
    }
    for (size_t lane = 0; lane < kFloats; ++lane) largest = best[lane] > largest ? best[lane] : largest;
  }
  for (; i < count; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
