// Rows of floats, halves or int8 and a few vectors: dot products, and sums of rows. What attention asks of the keys and
// values of a text, which the queries of several heads share, and what a token asks of a matrix in f16.
#pragma once

#include "core/matrix/half.h"
#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

inline FloatVector load_values(const float* from) { return load(from); }

inline FloatVector load_values(const uint16_t* from) {
#if defined(__AVX512F__)
  // With a mask, since GCC 12 takes the "undefined" vector inside the plain intrinsic for a mistake (bug 105593).
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__AVX2__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(PYRAMIDION_NEON)
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
#else
  // As half_to_float does it, side by side.
  typedef uint16_t Halves __attribute__((vector_size(2 * kFloats)));
  Halves halves;
  __builtin_memcpy(&halves, from, sizeof(halves));
  const Int32Vector bits = __builtin_convertvector(halves, Int32Vector), magnitude = bits & 0x7fff;
  const Int32Vector finite = (Int32Vector)((FloatVector)(magnitude << 13) * 0x1p112f);
  const Int32Vector widened = magnitude >= 0x7c00 ? magnitude << 13 | 0x7f800000 : finite;
  return (FloatVector)(widened | (bits & 0x8000) << 16);
#endif
}

inline FloatVector load_values(const int8_t* from) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepi8_epi32(0xffff, bytes));
#elif defined(__AVX2__)
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#elif defined(PYRAMIDION_NEON)
  int32_t four;
  __builtin_memcpy(&four, from, sizeof(four));
  const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
#else
  FloatVector values;
  for (size_t lane = 0; lane < kFloats; ++lane) values[lane] = static_cast<float>(from[lane]);
  return values;
#endif
}

inline float value_of(float value) { return value; }
inline float value_of(uint16_t half) { return half_to_float(half); }
inline float value_of(int8_t value) { return static_cast<float>(value); }

#if defined(__AVX2__) && !defined(__AVX512F__)
constexpr size_t kRegisters = 16;
#else
constexpr size_t kRegisters = 32;
#endif
// Vectors that rows pass by at a time; sums of some rows with each are kept in registers.
constexpr size_t kMostVectors = kRegisters == 32 ? 4 : 3;

template <size_t n>
struct Some {
  static constexpr size_t count = n;
};

// Calls body(Some<n>, first) for n vectors from the first on, until all had their turn.
template <class Body>
inline void for_some_vectors(size_t vectors, const Body& body) {
  size_t first = 0;
  for (; first + kMostVectors <= vectors; first += kMostVectors) {
    body(Some<kMostVectors>(), first);
  }
  switch (vectors - first) {
    case 3:
      return body(Some<3>(), first);
    case 2:
      return body(Some<2>(), first);
    case 1:
      return body(Some<1>(), first);
  }
}

typedef float FourFloats __attribute__((vector_size(16)));

// Upper halves added to lower ones down to four lanes.
template <size_t lanes>
struct FourLaneSum {
  typedef float Whole __attribute__((vector_size(lanes * sizeof(float))));
  template <size_t... lane>
  static FourFloats halved(Whole vector, std::index_sequence<lane...>) {
    return FourLaneSum<lanes / 2>::of(__builtin_shufflevector(vector, vector, lane...) +
                                      __builtin_shufflevector(vector, vector, (lane + lanes / 2)...));
  }
  static FourFloats of(Whole vector) { return halved(vector, std::make_index_sequence<lanes / 2>()); }
};
template <>
struct FourLaneSum<4> {
  static FourFloats of(FourFloats vector) { return vector; }
};

// In each four lanes a0 + a2, b0 + b2, a1 + a3, b1 + b3.
template <size_t... lane>
inline FloatVector add_turned(FloatVector a, FloatVector b, std::index_sequence<lane...>) {
  return __builtin_shufflevector(a, b, (lane / 4 * 4 + lane % 4 / 2 + lane % 2 * kFloats)...) +
         __builtin_shufflevector(a, b, (lane / 4 * 4 + lane % 4 / 2 + lane % 2 * kFloats + 2)...);
}

// In each four lanes a0 + a2, a1 + a3, b0 + b2, b1 + b3.
template <size_t... lane>
inline FloatVector add_halves(FloatVector a, FloatVector b, std::index_sequence<lane...>) {
  return __builtin_shufflevector(a, b, (lane / 4 * 4 + lane % 2 + lane % 4 / 2 * kFloats)...) +
         __builtin_shufflevector(a, b, (lane / 4 * 4 + lane % 2 + lane % 4 / 2 * kFloats + 2)...);
}

// The sums of four vectors side by side.
inline FourFloats sums_of(FloatVector a, FloatVector b, FloatVector c, FloatVector d) {
  constexpr auto lanes = std::make_index_sequence<kFloats>();
  return FourLaneSum<kFloats>::of(add_halves(add_turned(a, b, lanes), add_turned(c, d, lanes), lanes));
}

// Rows are asked for so many rows ahead: the processor by itself does not look far enough.
constexpr size_t kRowsAhead = 16;

// Once for each line of 64 bytes, where i goes through a row by vectors of floats.
template <class T>
inline void prefetch_line(const T* row, size_t i) {
  if (i * sizeof(T) % 64 == 0) __builtin_prefetch(row + i);
}

// Of several rows at once, whose sums do not wait for each other.
template <size_t vectors, size_t rows, class T>
inline void some_row_dots(const float* x, const T* from, size_t stride, size_t count, size_t width, float factor,
                          float* out) {
  FloatVector sums[rows][vectors];
#pragma GCC unroll 8
  for (size_t row = 0; row < rows; ++row) {
#pragma GCC unroll 4
    for (size_t v = 0; v < vectors; ++v) sums[row][v] = FloatVector{};
  }
  size_t i = 0;
  for (; i + kFloats <= width; i += kFloats) {
    FloatVector values[vectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < vectors; ++v) values[v] = load(x + v * width + i);
#pragma GCC unroll 8
    for (size_t row = 0; row < rows; ++row) {
      prefetch_line(from + (row + kRowsAhead) * stride, i);
      const FloatVector row_values = load_values(from + row * stride + i);
#pragma GCC unroll 4
      for (size_t v = 0; v < vectors; ++v) sums[row][v] = multiply_add(values[v], row_values, sums[row][v]);
    }
  }
#pragma GCC unroll 4
  for (size_t v = 0; v < vectors; ++v) {
    float* to = out + v * count;
    if constexpr (rows % 4 == 0) {
#pragma GCC unroll 2
      for (size_t row = 0; row < rows; row += 4) {
        const FourFloats four = sums_of(sums[row][v], sums[row + 1][v], sums[row + 2][v], sums[row + 3][v]) * factor;
        __builtin_memcpy(to + row, &four, sizeof(four));
      }
    } else {
      for (size_t row = 0; row < rows; ++row) to[row] = factor * sum_of<float>(sums[row][v]);
    }
  }
  for (; i < width; ++i) {
    for (size_t v = 0; v < vectors; ++v) {
      for (size_t row = 0; row < rows; ++row) {
        out[v * count + row] += factor * x[v * width + i] * value_of(from[row * stride + i]);
      }
    }
  }
}

template <class T>
void row_dots(const float* x, size_t vectors, const T* rows, size_t stride, size_t count, size_t width, float factor,
              float* out) {
  for_some_vectors(vectors, [&](auto some, size_t first) {
    constexpr size_t n = decltype(some)::count;
    constexpr size_t together = n == 1 ? 8 : 4;
    const float* from = x + first * width;
    float* to = out + first * count;
    size_t row = 0;
    for (; row + together <= count; row += together) {
      some_row_dots<n, together>(from, rows + row * stride, stride, count, width, factor, to + row);
    }
    for (; row < count; ++row) {
      some_row_dots<n, 1>(from, rows + row * stride, stride, count, width, factor, to + row);
    }
  });
}

// Columns of as many vectors as stay in registers while all rows pass by.
template <size_t vectors, size_t columns, class T>
inline void add_weighted_columns(const float* weights, const T* rows, size_t stride, size_t count, size_t width,
                                 float* out) {
  FloatVector sums[vectors][columns];
  for (size_t v = 0; v < vectors; ++v) {
    for (size_t c = 0; c < columns; ++c) sums[v][c] = load(out + v * width + c * kFloats);
  }
  for (size_t row = 0; row < count; ++row) {
    FloatVector values[columns];
    for (size_t c = 0; c < columns; ++c) {
      prefetch_line(rows + (row + kRowsAhead) * stride, c * kFloats);
      values[c] = load_values(rows + row * stride + c * kFloats);
    }
    for (size_t v = 0; v < vectors; ++v) {
      const FloatVector weight = broadcast(weights[v * count + row]);
      for (size_t c = 0; c < columns; ++c) sums[v][c] = multiply_add(weight, values[c], sums[v][c]);
    }
  }
  for (size_t v = 0; v < vectors; ++v) {
    for (size_t c = 0; c < columns; ++c) store(out + v * width + c * kFloats, sums[v][c]);
  }
}

template <class T>
void add_weighted_rows(const float* weights, size_t vectors, const T* rows, size_t stride, size_t count, size_t width,
                       float* out) {
  for_some_vectors(vectors, [&](auto some, size_t first) {
    constexpr size_t n = decltype(some)::count;
    constexpr size_t together = kRegisters == 32 || n <= 2 ? 4 : 2;
    const float* from = weights + first * count;
    float* to = out + first * width;
    size_t i = 0;
    for (; i + together * kFloats <= width; i += together * kFloats) {
      add_weighted_columns<n, together>(from, rows + i, stride, count, width, to + i);
    }
    for (; i + kFloats <= width; i += kFloats) {
      add_weighted_columns<n, 1>(from, rows + i, stride, count, width, to + i);
    }
    for (; i < width; ++i) {
      for (size_t v = 0; v < n; ++v) {
        for (size_t row = 0; row < count; ++row) {
          to[v * width + i] += from[v * count + row] * value_of(rows[row * stride + i]);
        }
      }
    }
  });
}

template <class T>
void widen(const T* x, size_t count, float* out) {
  size_t i = 0;
  for (; i + kFloats <= count; i += kFloats) store(out + i, load_values(x + i));
  for (; i < count; ++i) out[i] = value_of(x[i]);
}

// To the nearest halves.
void narrow_to_f16(const float* x, size_t count, uint16_t* out) {
  size_t i = 0;
#if defined(__AVX2__)
  for (; i + 8 <= count; i += 8) {
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), halves);
  }
#elif defined(PYRAMIDION_NEON)
  for (; i + 4 <= count; i += 4) vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
#endif
  for (; i < count; ++i) out[i] = float_to_half(x[i]);
}

// round(x * inverse), halves to the even; |x * inverse| <= 127.
void narrow_to_int8(const float* x, size_t count, float inverse, int8_t* out) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: a sum with it has the nearest integer in its lowest bits
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<int8_t>(bits_of_float(x[i] * inverse + kRounder));
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
