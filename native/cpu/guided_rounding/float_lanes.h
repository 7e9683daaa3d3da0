// Vectors of calibrated rounding in memory, and operations that are rounded alike on every instruction set.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#if PYRAMIDION_LANES > 4
// As in avx512_wide.h of decoding: a false alarm of GCC 12.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#elif defined(PYRAMIDION_NEON)
#include <arm_neon.h>
#endif

#include "cpu/pvq_search/pulse_lanes.h"

namespace pyramidion {
namespace {

inline Floats load_lanes(const float* from) {
  Floats vector;
  memcpy(&vector, from, sizeof(vector));
  return vector;
}

inline void store_lanes(float* to, const Floats& vector) { memcpy(to, &vector, sizeof(vector)); }

inline Integers load_shorts(const int16_t* from) {
  Shorts vector;
  memcpy(&vector, from, sizeof(vector));
  return __builtin_convertvector(vector, Integers);
}

inline void store_shorts(int16_t* to, const Integers& vector) {
  const Shorts narrow = __builtin_convertvector(vector, Shorts);
  memcpy(to, &narrow, sizeof(narrow));
}

// a * b + c, rounded once on every instruction set: where the portable one has no instruction for it, at the cost of a
// call a lane. Most of the time goes into sums of such products.
inline Floats multiply_add(const Floats& a, float b, const Floats& c) {
#if PYRAMIDION_LANES == 16
  return _mm512_fmadd_ps(a, _mm512_set1_ps(b), c);
#elif PYRAMIDION_LANES == 8
  return _mm256_fmadd_ps(a, _mm256_set1_ps(b), c);
#elif defined(PYRAMIDION_NEON)
  return vfmaq_n_f32(c, a, b);
#else
  Floats sum;
  for (int lane = 0; lane < lanes; ++lane) sum[lane] = __builtin_fmaf(a[lane], b, c[lane]);
  return sum;
#endif
}

// The same where a * b is exact, so that it does not matter how often it is rounded.
inline Floats add_exact_product(const Floats& a, float b, const Floats& c) {
#if PYRAMIDION_LANES > 4 || defined(PYRAMIDION_NEON)
  return multiply_add(a, b, c);
#else
  return a * b + c;
#endif
}

// Square root and division are rounded the same everywhere.
inline Floats inverse_square_root(const Floats& x) {
#if PYRAMIDION_LANES == 16
  return 1 / Floats(_mm512_sqrt_ps(x));
#elif PYRAMIDION_LANES == 8
  return 1 / Floats(_mm256_sqrt_ps(x));
#elif defined(PYRAMIDION_NEON)
  return 1 / Floats(vsqrtq_f32(x));
#else
  Floats root = {};
  for (int lane = 0; lane < lanes; ++lane) root[lane] = 1 / __builtin_sqrtf(x[lane]);
  return root;
#endif
}

}  // namespace
}  // namespace pyramidion
