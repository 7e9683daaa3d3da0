// The exponential and what is made of it: sums of exponentials, SiLU, the divergence of two distributions.
#pragma once

#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

// e^x within 2e-7 of its value, 0 below -87.3 (results would be subnormal), the largest finite power above 88.7:
// x = n ln 2 + r, |r| <= ln 2 / 2, e^x = 2^n e^r with e^r from its Taylor polynomial of degree 7.
inline FloatVector exponential(FloatVector x) {
  const FloatVector lowest = broadcast(-87.3f), highest = broadcast(88.7f);
  const auto underflow = x < lowest;
  x = x > highest ? highest : x;
  x = underflow ? lowest : x;
  const FloatVector magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const FloatVector n = (x * 1.44269504f + magic) - magic;
  FloatVector r = multiply_add(n, broadcast(-0.693359375f), x);
  r = multiply_add(n, broadcast(2.12194440e-4f), r);
  FloatVector power = broadcast(1.0f / 5040);
  power = multiply_add(power, r, broadcast(1.0f / 720));
  power = multiply_add(power, r, broadcast(1.0f / 120));
  power = multiply_add(power, r, broadcast(1.0f / 24));
  power = multiply_add(power, r, broadcast(1.0f / 6));
  power = multiply_add(power, r, broadcast(0.5f));
  power = multiply_add(power, r, broadcast(1.0f));
  power = multiply_add(power, r, broadcast(1.0f));
  // n = 128 does not fit an exponent field: multiply by two halves of the power.
  const Int32Vector integer = __builtin_convertvector(n, Int32Vector);
  const Int32Vector half = integer >> 1;
  const FloatVector first = (FloatVector)((half + 127) << 23);
  const FloatVector second = (FloatVector)((integer - half + 127) << 23);
  const FloatVector result = power * first * second;
  return underflow ? FloatVector{} : result;
}

// Calls body(i, count, vector) over x in vectors; the last, short one is filled with `filler`.
template <class Body>
inline void for_vectors(const float* x, size_t count, float filler, Body body) {
  size_t i = 0;
  for (; i + kFloats <= count; i += kFloats) body(i, kFloats, load(x + i));
  if (i == count) return;
  FloatVector last = broadcast(filler);
  for (size_t lane = 0; i + lane < count; ++lane) last[lane] = x[i + lane];
  body(i, count - i, last);
}

inline void store_some(float* to, FloatVector vector, size_t count) {
  if (count == kFloats) return store(to, vector);
  for (size_t lane = 0; lane < count; ++lane) to[lane] = vector[lane];
}

inline void add_in_double(FloatVector values, Vector<double>* sums) {
  typedef float HalfVector __attribute__((vector_size(kVectorBytes / 2)));
  HalfVector halves[2];
  __builtin_memcpy(halves, &values, sizeof(values));
  sums[0] += __builtin_convertvector(halves[0], Vector<double>);
  sums[1] += __builtin_convertvector(halves[1], Vector<double>);
}

// x[i] = e^(x[i] - shift); returns the sum.
float exponentials(float* x, size_t count, float shift) {
  FloatVector sums = {};
  for_vectors(x, count, -1e30f, [&](size_t i, size_t used, FloatVector values) {
    const FloatVector powers = exponential(values - shift);
    sums += powers;
    store_some(x + i, powers, used);
  });
  return sum_of<float>(sums);
}

// sum e^(x[i] - shift), added up in double.
double sum_exponentials(const float* x, size_t count, float shift) {
  Vector<double> sums[2] = {};
  for_vectors(x, count, -1e30f,
              [&](size_t, size_t, FloatVector values) { add_in_double(exponential(values - shift), sums); });
  return sum_of<double>(sums[0] + sums[1]);
}

// As many values as for_vectors has, zeros behind them.
inline FloatVector load_some(const float* from, size_t count) {
  if (count == kFloats) return load(from);
  FloatVector vector = {};
  for (size_t lane = 0; lane < count; ++lane) vector[lane] = from[lane];
  return vector;
}

// sum p (log p - log q) with log p = x - x_log_sum, log q = y - y_log_sum; both logarithms are small where p is large,
// so their difference is exact where it counts.
double divergence(const float* x, const float* y, size_t count, float x_log_sum, float y_log_sum) {
  Vector<double> sums[2] = {};
  for_vectors(x, count, -1e30f, [&](size_t i, size_t used, FloatVector values) {
    const FloatVector log_p = values - x_log_sum;
    add_in_double(exponential(log_p) * (log_p - (load_some(y + i, used) - y_log_sum)), sums);
  });
  return sum_of<double>(sums[0] + sums[1]);
}

// out = gate / (1 + e^-gate) * up
void silu_multiply(const float* gate, const float* up, float* out, size_t count) {
  for_vectors(gate, count, 0.0f, [&](size_t i, size_t used, FloatVector values) {
    store_some(out + i, values / (1.0f + exponential(-values)) * load_some(up + i, used), used);
  });
}

// With s = 1 / (1 + e^-gate): silu = gate s, silu' = s + silu (1 - s).
void silu_multiply_backward(float* gate, float* up, const float* gradient, size_t count) {
  for_vectors(gate, count, 0.0f, [&](size_t i, size_t used, FloatVector values) {
    const FloatVector sigmoid = 1.0f / (1.0f + exponential(-values)), silu = values * sigmoid;
    const FloatVector outer = load_some(gradient + i, used), others = load_some(up + i, used);
    store_some(gate + i, outer * others * (sigmoid + silu * (1.0f - sigmoid)), used);
    store_some(up + i, outer * silu, used);
  });
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
