// Dot products of four groups with NEON, a quad of each in a vector: by sdot, which multiplies bytes and adds four
// products in 32 bits, where a file is compiled for it, else by what every arm64 processor has, smull and smlal, which
// multiply bytes and add up in 16 bits. Nothing overflows: the pulses of a group add up to 127 at most, inputs are at
// most 127 as well.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <arm_neon.h>

namespace pyramidion {
namespace {

#if defined(__ARM_FEATURE_DOTPROD)
template <int Quads>
inline int32x4_t dot(const int8x16_t (&p)[Quads], const int8x16_t (&x)[Quads]) {
  int32x4_t sum = vdupq_n_s32(0);
  for (int q = 0; q < Quads; ++q) sum = vdotq_s32(sum, p[q], x[q]);
  return sum;
}
#else
template <int Quads>
inline int32x4_t dot(const int8x16_t (&p)[Quads], const int8x16_t (&x)[Quads]) {
  int16x8_t low = vmull_s8(vget_low_s8(p[0]), vget_low_s8(x[0])), high = vmull_high_s8(p[0], x[0]);
  for (int q = 1; q < Quads; ++q) {
    low = vmlal_s8(low, vget_low_s8(p[q]), vget_low_s8(x[q]));
    high = vmlal_high_s8(high, p[q], x[q]);
  }
  return vpaddlq_s16(vpaddq_s16(low, high));
}
#endif

}  // namespace
}  // namespace pyramidion
