// The Walsh-Hadamard transform in Sylvester's order, not normalised: for h = 1, 2, 4, ... replace the values a, b that
// are h apart by a + b, a - b.
#pragma once

#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

// The stage h inside one vector: lane i becomes x[i ^ h] + (i & h ? -1 : 1) x[i].
template <size_t h, size_t... lane>
inline FloatVector transform_stage(FloatVector x, std::index_sequence<lane...>) {
  const FloatVector sign = {(lane & h ? -1.0f : 1.0f)...};
  return multiply_add(x, sign, __builtin_shufflevector(x, x, (lane ^ h)...));
}

// The stages from h on inside one vector.
template <size_t h>
inline FloatVector transform_lanes(FloatVector x) {
  if constexpr (h == kFloats) {
    return x;
  } else {
    return transform_lanes<2 * h>(transform_stage<h>(x, std::make_index_sequence<kFloats>()));
  }
}

// The stages h and 2 h of values that are h apart.
inline void transform_four(FloatVector& a, FloatVector& b, FloatVector& c, FloatVector& d) {
  const FloatVector ab = a + b, less_ab = a - b, cd = c + d, less_cd = c - d;
  a = ab + cd;
  b = less_ab + less_cd;
  c = ab - cd;
  d = less_ab - less_cd;
}

// All stages below 4 kFloats, of four vectors.
inline void transform_block(float* x) {
  FloatVector v[4];
  for (size_t i = 0; i < 4; ++i) v[i] = transform_lanes<1>(load(x + i * kFloats));
  transform_four(v[0], v[1], v[2], v[3]);
  for (size_t i = 0; i < 4; ++i) store(x + i * kFloats, v[i]);
}

// The stages h and 2 h of 4 h values, h a multiple of kFloats.
inline void transform_quarters(float* x, size_t h) {
  for (size_t j = 0; j < h; j += kFloats) {
    FloatVector v[4];
    for (size_t i = 0; i < 4; ++i) v[i] = load(x + j + i * h);
    transform_four(v[0], v[1], v[2], v[3]);
    for (size_t i = 0; i < 4; ++i) store(x + j + i * h, v[i]);
  }
}

// The stage h of 2 h values, of any h.
inline void transform_halves(float* x, size_t h) {
  size_t j = 0;
  for (; j + kFloats <= h; j += kFloats) {
    const FloatVector a = load(x + j), b = load(x + j + h);
    store(x + j, a + b);
    store(x + j + h, a - b);
  }
  for (; j < h; ++j) {
    const float a = x[j], b = x[j + h];
    x[j] = a + b;
    x[j + h] = a - b;
  }
}

// count: a power of two.
void hadamard(float* x, size_t count) {
  size_t h = 1;
  if (count >= 4 * kFloats) {
    for (size_t i = 0; i < count; i += 4 * kFloats) transform_block(x + i);
    h = 4 * kFloats;
  } else if (count >= kFloats) {
    for (size_t i = 0; i < count; i += kFloats) store(x + i, transform_lanes<1>(load(x + i)));
    h = kFloats;
  }
  for (; h >= kFloats && 4 * h <= count; h *= 4) {
    for (size_t i = 0; i < count; i += 4 * h) transform_quarters(x + i, h);
  }
  for (; h < count; h *= 2) {
    for (size_t i = 0; i < count; i += 2 * h) transform_halves(x + i, h);
  }
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
