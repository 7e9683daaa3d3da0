// Rounding of values to the multiples of a unit: what inputs of low precision hold.
#pragma once

#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

// The largest |x|; NaN counts as 0.
float largest_magnitude(const float* x, size_t count) {
  FloatVector best = {};
  size_t i = 0;
  for (; i + kFloats <= count; i += kFloats) {
    const FloatVector value = load(x + i);
    const FloatVector magnitude = value < 0 ? -value : value;
    best = magnitude > best ? magnitude : best;
  }
  float largest = 0;
  for (size_t lane = 0; lane < kFloats; ++lane) largest = best[lane] > largest ? best[lane] : largest;
  for (; i < count; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

// x = unit * round(x * inverse), halves to the even, the multiple at most `limit` < 2^21 in magnitude; NaN stays. |x *
// inverse| < 2^22.
void round_to_multiples(float unit, float inverse, float limit, float* x, size_t count) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  size_t i = 0;
  for (; i + kFloats <= count; i += kFloats) {
    FloatVector multiple = (load(x + i) * inverse + kMagic) - kMagic;
    multiple = multiple > limit ? broadcast(limit) : multiple;
    multiple = multiple < -limit ? broadcast(-limit) : multiple;
    store(x + i, multiple * unit);
  }
  for (; i < count; ++i) {
    float multiple = (x[i] * inverse + kMagic) - kMagic;
    multiple = multiple > limit ? limit : multiple;
    multiple = multiple < -limit ? -limit : multiple;
    x[i] = multiple * unit;
  }
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
