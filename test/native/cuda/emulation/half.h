// The part of cuda_fp16.h that the kernels use, on the host: no toolkit is needed to run the emulation. Arithmetic
// rounds once, as the hardware does.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/matrix/half.h"

struct __half {
  uint16_t bits;
};

struct __half2 {
  __half x, y;
};

inline float __half2float(__half value) { return pyramidion::half_to_float(value.bits); }
inline __half __float2half_rn(float value) { return {pyramidion::float_to_half(value)}; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __half_as_ushort(__half value) { return value.bits; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline float __low2float(__half2 value) { return __half2float(value.x); }
inline float __high2float(__half2 value) { return __half2float(value.y); }
// A product of halves is exact in single precision, a sum with a half exact in double.
inline __half __hfma(__half a, __half b, __half c) {
  const double exact = static_cast<double>(__half2float(a)) * __half2float(b) + __half2float(c);
  return __float2half_rn(static_cast<float>(exact));
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }
inline __half2 __hadd2(__half2 a, __half2 b) { return __hfma2(a, {{0x3c00}, {0x3c00}}, b); }
inline __half2 __hsub2(__half2 a, __half2 b) { return __hfma2(b, {{0xbc00}, {0xbc00}}, a); }
inline __half2 __hmul2(__half2 a, __half2 b) { return __hfma2(a, b, {{0x8000}, {0x8000}}); }
inline __half2 __hneg2(__half2 a) {
  return {{static_cast<uint16_t>(a.x.bits ^ 0x8000)}, {static_cast<uint16_t>(a.y.bits ^ 0x8000)}};
}
inline __half2 __habs2(__half2 a) {
  return {{static_cast<uint16_t>(a.x.bits & 0x7fff)}, {static_cast<uint16_t>(a.y.bits & 0x7fff)}};
}
