// The Walsh-Hadamard transform in Sylvester's order, not normalised: for h = 1, 2, 4, ... replace the values a, b that
// are h apart by a + b, a - b.
#pragma once

#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

// The stages with h < lanes, inside one vector: lane i becomes x[i ^ h] + (i & h ? -1 : 1) x[i].
inline FloatVector transform_lanes(FloatVector x) {
#pragma GCC unroll 4
  for (size_t h = 1; h < kFloats; h *= 2) {
    Int32Vector partner;
    FloatVector sign;
    for (size_t i = 0; i < kFloats; ++i) {
      partner[i] = static_cast<int32_t>(i ^ h);
      sign[i] = i & h ? -1.0f : 1.0f;
    }
    FloatVector swapped;
#if defined(__clang__)
    for (size_t i = 0; i < kFloats; ++i) swapped[i] = x[i ^ h];
#else
    swapped = __builtin_shuffle(x, partner);
#endif
    x = multiply_add(x, sign, swapped);
  }
  return x;
}

// count: a power of two.
void hadamard(float* x, size_t count) {
  size_t h = 1;
  if (count >= kFloats) {
    for (size_t i = 0; i < count; i += kFloats) store(x + i, transform_lanes(load(x + i)));
    h = kFloats;
  }
  for (; h < count; h *= 2) {
    for (size_t i = 0; i < count; i += 2 * h) {
      if (h >= kFloats) {
        for (size_t j = i; j < i + h; j += kFloats) {
          const FloatVector a = load(x + j), b = load(x + j + h);
          store(x + j, a + b);
          store(x + j + h, a - b);
        }
      } else {
        for (size_t j = i; j < i + h; ++j) {
          const float a = x[j], b = x[j + h];
          x[j] = a + b;
          x[j + h] = a - b;
        }
      }
    }
  }
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
