// Decoding and fused dot products of 16 groups at once with AVX-512, one group in each lane. A prepared vector holds,
// for each block of 16 groups, coordinate 0 of the 16 groups, then coordinate 1, and so on.
#pragma once

#include "cpu/pvq_decode/avx512_codes.h"
#include "cpu/pvq_decode/avx512_tree.h"

namespace pyramidion {
namespace {

inline __m512 to_float(__m512i packed, int byte) {
  const __m512i shifted = byte == 3 ? packed : _mm512_slli_epi32(packed, 24 - 8 * byte);
  return _mm512_cvtepi32_ps(_mm512_srai_epi32(shifted, 24));
}

// Multiplies points with a prepared vector as they come out of the walk.
struct Product {
  const float* x;
  __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  __m512 square = _mm512_setzero_ps();
  __m512i square_bytes = _mm512_setzero_si512();

  void quad(int first, __m512i packed) {
    for (int i = 0; i < 4; ++i) {
      sum[i % 2] = _mm512_fmadd_ps(to_float(packed, i), _mm512_load_ps(x + (first + i) * lanes), sum[i % 2]);
    }
    const __m512i magnitude = _mm512_abs_epi8(packed);
    square_bytes = _mm512_dpbusd_epi32(square_bytes, magnitude, magnitude);
  }
  void pair(int first, __m512i left, __m512i right) {
    const __m512 a = _mm512_cvtepi32_ps(left), b = _mm512_cvtepi32_ps(right);
    sum[0] = _mm512_fmadd_ps(a, _mm512_load_ps(x + first * lanes), sum[0]);
    sum[1] = _mm512_fmadd_ps(b, _mm512_load_ps(x + (first + 1) * lanes), sum[1]);
    square = _mm512_fmadd_ps(b, b, _mm512_fmadd_ps(a, a, square));
  }
  // sum / ||p||.
  __m512 projection() const {
    const __m512 n = _mm512_add_ps(square, _mm512_cvtepi32_ps(square_bytes));
    return _mm512_mul_ps(_mm512_add_ps(sum[0], sum[1]), inverse_root(n));
  }
};

// Keeps points as they come out of the walk: coordinate by coordinate, 16 groups each.
struct Points {
  alignas(64) float coordinates[PyramidCounts::max_dimension * lanes];
  __m512 square = _mm512_setzero_ps();

  void keep(int coordinate, __m512 p) {
    _mm512_store_ps(coordinates + coordinate * lanes, p);
    // Exact: squared norms are whole numbers below 2^24.
    square = _mm512_fmadd_ps(p, p, square);
  }
  void quad(int first, __m512i packed) {
    for (int i = 0; i < 4; ++i) keep(first + i, to_float(packed, i));
  }
  void pair(int first, __m512i left, __m512i right) {
    keep(first, _mm512_cvtepi32_ps(left));
    keep(first + 1, _mm512_cvtepi32_ps(right));
  }
};

template <int D, bool Small>
float dot_integer(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  const CodeReader reader(code.bits);
  const LevelReader levels(code);
  const Lookup lookup(*code.tables);
  const __m512i pulses = _mm512_set1_epi32(code.pulses);
  __m512 total = _mm512_setzero_ps();
  for (size_t g = 0; g < code.groups; g += lanes) {
    Wide index;
    const __m512 level = levels.read(reader.read(codes, code.groups - g), &index);
    Product product{prepared};
    walk<D, Small>(lookup, pulses, index, product);
    total = _mm512_fmadd_ps(level, product.projection(), total);
    codes += 2 * code.bits;
    prepared += lanes * D;
  }
  return _mm512_reduce_add_ps(total);
}

template <int D, bool Small>
void decode_integer(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  const CodeReader reader(code.bits);
  const LevelReader levels(code);
  const Lookup lookup(*code.tables);
  const __m512i pulses = _mm512_set1_epi32(code.pulses);
  const __m512i place =
      _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(D));
  for (size_t g = 0; g < code.groups; g += lanes) {
    Wide index;
    const __m512 level = levels.read(reader.read(codes, code.groups - g), &index);
    Points points;
    walk<D, Small>(lookup, pulses, index, points);
    const __m512 factor = _mm512_div_ps(_mm512_mul_ps(_mm512_set1_ps(scale), level), _mm512_sqrt_ps(points.square));
    for (int i = 0; i < D; ++i) {
      // Groups, or the end of the last one, that lie beyond the row.
      const size_t first = g * D + i, reached = first < code.columns ? (code.columns - first + D - 1) / D : 0;
      const __mmask16 inside = static_cast<__mmask16>(reached >= lanes ? 0xffff : (1u << reached) - 1);
      const __m512 value = _mm512_mul_ps(_mm512_load_ps(points.coordinates + i * lanes), factor);
      _mm512_mask_i32scatter_ps(out + first, inside, place, value, 4);
    }
    codes += 2 * code.bits;
  }
}

}  // namespace
}  // namespace pyramidion
