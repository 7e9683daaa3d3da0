// Products of rows of int8, 32 of them with a scale, with a vector of int16: sums for each 32 are exact, in 32
// bits.
#pragma once

#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

constexpr size_t kInt8Block = 32;

// Sums that add up to a block's product, each of as many values as stay exact in 32 bits.
#if defined(__AVX512F__)
inline FloatVector block_sums(const int16_t* x, const int8_t* values) {
  const __m512i wide =
      _mm512_maskz_cvtepi8_epi16(~__mmask32{0}, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)));
  return _mm512_maskz_cvtepi32_ps(0xffff, _mm512_madd_epi16(wide, _mm512_loadu_si512(x)));
}
#elif defined(__AVX2__)
inline FloatVector block_sums(const int16_t* x, const int8_t* values) {
  __m256i sums = _mm256_setzero_si256();
  for (size_t half = 0; half < kInt8Block; half += 16) {
    const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values + half)));
    const __m256i inputs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + half));
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(wide, inputs));
  }
  return _mm256_cvtepi32_ps(sums);
}
#elif defined(PYRAMIDION_NEON)
inline FloatVector block_sums(const int16_t* x, const int8_t* values) {
  int32x4_t sums = vdupq_n_s32(0);
  for (size_t i = 0; i < kInt8Block; i += 8) {
    const int16x8_t wide = vmovl_s8(vld1_s8(values + i)), inputs = vld1q_s16(x + i);
    sums = vmlal_s16(sums, vget_low_s16(wide), vget_low_s16(inputs));
    sums = vmlal_s16(sums, vget_high_s16(wide), vget_high_s16(inputs));
  }
  return vcvtq_f32_s32(sums);
}
#else
inline FloatVector block_sums(const int16_t* x, const int8_t* values) {
  int32_t sum = 0;
  for (size_t i = 0; i < kInt8Block; ++i) sum += x[i] * values[i];
  return FloatVector{static_cast<float>(sum)};
}
#endif

// Values are read once and in order: asked for this far ahead, since the processor by itself does not look far enough.
constexpr size_t kInt8Ahead = 4096;

template <size_t rows>
inline void some_row_dots_int8(const int16_t* x, const int8_t* values, const float* scales, size_t width, float factor,
                               float* out) {
  const size_t blocks = width / kInt8Block;
  FloatVector sums[rows] = {};
  for (size_t b = 0; b < blocks; ++b) {
    const size_t at = b * kInt8Block;
    for (size_t row = 0; row < rows; ++row) {
      const int8_t* from = values + row * width + at;
      if (b % 2 == 0) __builtin_prefetch(from + kInt8Ahead);
      const FloatVector dots = block_sums(x + at, from);
      sums[row] = multiply_add(dots, broadcast(scales[row * blocks + b]), sums[row]);
    }
  }
  for (size_t row = 0; row < rows; ++row) out[row] = factor * sum_of<float>(sums[row]);
}

// out[r] = factor * <x, row r>; width is a multiple of 32.
void row_dots_int8(const int16_t* x, const int8_t* values, const float* scales, size_t count, size_t width,
                   float factor, float* out) {
  const size_t blocks = width / kInt8Block;
  size_t row = 0;
  for (; row + 4 <= count; row += 4) {
    some_row_dots_int8<4>(x, values + row * width, scales + row * blocks, width, factor, out + row);
  }
  for (; row < count; ++row) {
    some_row_dots_int8<1>(x, values + row * width, scales + row * blocks, width, factor, out + row);
  }
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
