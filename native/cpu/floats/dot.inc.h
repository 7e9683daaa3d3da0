// Sums and scalings of float vectors of any length.
#pragma once

#include "core/matrix/half.h"
#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

template <class T>
T dot(const T* a, const T* b, size_t count) {
  constexpr size_t lanes = kLanes<T>;
  Vector<T> sums[4] = {};
  size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    for (size_t v = 0; v < 4; ++v) sums[v] = multiply_add(load(a + i + v * lanes), load(b + i + v * lanes), sums[v]);
  }
  for (; i + lanes <= count; i += lanes) sums[0] = multiply_add(load(a + i), load(b + i), sums[0]);
  T sum = sum_of<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

inline FloatVector load_halves(const uint16_t* from) {
#if defined(__AVX512F__)
  // With a mask, since GCC 12 takes the "undefined" vector inside the plain intrinsic for a mistake (bug 105593).
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__AVX2__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#elif defined(PYRAMIDION_NEON)
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
#else
  FloatVector values;
  for (size_t lane = 0; lane < kFloats; ++lane) values[lane] = half_to_float(from[lane]);
  return values;
#endif
}

// Rows that are not one behind the other, as those of a head are not, are asked for so many rows ahead: the processor
// does not see where the next one is.
constexpr size_t kRowsAhead = 16;

// Once for each line of 64 bytes, where i goes through a row by vectors of floats.
template <class T>
inline void prefetch_line(const T* row, size_t i) {
  if (i * sizeof(T) % 64 == 0) __builtin_prefetch(row + i);
}

// Of several rows at once, whose sums do not wait for each other. Halves have 16 bits.
template <size_t rows, class T>
inline void some_row_dots(const float* x, const T* from, size_t stride, size_t width, float factor, float* out) {
  FloatVector sums[rows] = {};
  size_t i = 0;
  for (; i + kFloats <= width; i += kFloats) {
    const FloatVector values = load(x + i);
    for (size_t row = 0; row < rows; ++row) {
      prefetch_line(from + (row + kRowsAhead) * stride, i);
      if constexpr (sizeof(T) == 2) {
        sums[row] = multiply_add(values, load_halves(from + row * stride + i), sums[row]);
      } else {
        sums[row] = multiply_add(values, load(from + row * stride + i), sums[row]);
      }
    }
  }
  for (size_t row = 0; row < rows; ++row) {
    float sum = sum_of<float>(sums[row]);
    for (size_t j = i; j < width; ++j) {
      if constexpr (sizeof(T) == 2) {
        sum += x[j] * half_to_float(from[row * stride + j]);
      } else {
        sum += x[j] * from[row * stride + j];
      }
    }
    out[row] = factor * sum;
  }
}

template <class T>
void row_dots(const float* x, const T* rows, size_t stride, size_t count, size_t width, float factor, float* out) {
  size_t row = 0;
  for (; row + 8 <= count; row += 8) some_row_dots<8>(x, rows + row * stride, stride, width, factor, out + row);
  for (; row < count; ++row) some_row_dots<1>(x, rows + row * stride, stride, width, factor, out + row);
}

// Columns of as many vectors as stay in registers while all rows pass by.
template <size_t vectors>
inline void weighted_columns(const float* weights, const float* rows, size_t stride, size_t count, float* out) {
  FloatVector sums[vectors] = {};
  for (size_t row = 0; row < count; ++row) {
    const FloatVector weight = broadcast(weights[row]);
    for (size_t v = 0; v < vectors; ++v) {
      prefetch_line(rows + (row + kRowsAhead) * stride, v * kFloats);
      sums[v] = multiply_add(weight, load(rows + row * stride + v * kFloats), sums[v]);
    }
  }
  for (size_t v = 0; v < vectors; ++v) store(out + v * kFloats, sums[v]);
}

void weighted_row_sum(const float* weights, const float* rows, size_t stride, size_t count, size_t width, float* out) {
  size_t i = 0;
  for (; i + 4 * kFloats <= width; i += 4 * kFloats) weighted_columns<4>(weights, rows + i, stride, count, out + i);
  for (; i + kFloats <= width; i += kFloats) weighted_columns<1>(weights, rows + i, stride, count, out + i);
  for (; i < width; ++i) {
    float sum = 0;
    for (size_t row = 0; row < count; ++row) sum += weights[row] * rows[row * stride + i];
    out[i] = sum;
  }
}

template <class T>
void add_scaled(T factor, const T* x, T* y, size_t count) {
  size_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) {
    store(y + i, multiply_add(broadcast(factor), load(x + i), load(y + i)));
  }
  for (; i < count; ++i) y[i] += factor * x[i];
}

void scale(float factor, float* x, size_t count) {
  size_t i = 0;
  for (; i + kFloats <= count; i += kFloats) store(x + i, load(x + i) * factor);
  for (; i < count; ++i) x[i] *= factor;
}

void multiply(const float* x, const float* factors, float* out, size_t count) {
  size_t i = 0;
  for (; i + kFloats <= count; i += kFloats) store(out + i, load(x + i) * load(factors + i));
  for (; i < count; ++i) out[i] = x[i] * factors[i];
}

float maximum(const float* x, size_t count) {
  float largest = x[0];
  size_t i = 0;
  if (count >= kFloats) {
    FloatVector best = load(x);
    for (; i + kFloats <= count; i += kFloats) {
      const FloatVector value = load(x + i);
      best = value > best ? value : best;
    }
    for (size_t lane = 0; lane < kFloats; ++lane) largest = best[lane] > largest ? best[lane] : largest;
  }
  for (; i < count; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
