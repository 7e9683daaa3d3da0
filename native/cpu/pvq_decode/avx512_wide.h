// 16 numbers of 64 bits and their division, and roots, with AVX-512.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

// GCC 12 takes the "undefined" vectors inside its own intrinsics for uninitialised variables (bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstdint>

namespace pyramidion {
namespace {

struct Wide {
  __m512i low, high;
};

inline __m512i narrow(const Wide& wide) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(wide.low)), _mm512_cvtepi64_epi32(wide.high),
                            1);
}

// 64-bit value / divisor; the quotient is below 2^48, and reciprocal = (1 - 2^-50) / divisor.
inline __m512i divide(__m512i value, __m512i divisor, __m512d reciprocal, __m512i* remainder) {
  __m512i quotient = _mm512_cvttpd_epu64(_mm512_mul_pd(_mm512_cvtepu64_pd(value), reciprocal));
  __m512i rest = _mm512_sub_epi64(value, _mm512_mullo_epi64(quotient, divisor));
  const __mmask8 low = _mm512_cmpge_epu64_mask(rest, divisor);
  *remainder = _mm512_mask_sub_epi64(rest, low, rest, divisor);
  return _mm512_mask_sub_epi64(quotient, low, quotient, _mm512_set1_epi64(-1));
}

// 1 / sqrt(n), by its estimate and one Newton step.
inline __m512 inverse_root(__m512 n) {
  const __m512 estimate = _mm512_rsqrt14_ps(n);
  const __m512 residual = _mm512_fnmadd_ps(_mm512_mul_ps(n, estimate), estimate, _mm512_set1_ps(3.0f));
  return _mm512_mul_ps(_mm512_mul_ps(estimate, _mm512_set1_ps(0.5f)), residual);
}

}  // namespace
}  // namespace pyramidion
