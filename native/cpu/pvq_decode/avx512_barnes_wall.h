// Decoding and fused dot products of groups on the Barnes-Wall lattice with AVX-512. A prepared vector is in the order
// of the row, since groups come sorted by their words.
#pragma once

#include <string.h>

#include "cpu/pvq_decode/avx512_barnes_wall_points.h"

namespace pyramidion {
namespace {

inline __m512 float_coordinates(const int8_t* coordinates) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(coordinates))));
}

inline void prepare_barnes_wall(const PvqCode& code, const float* x, float* prepared, size_t size) {
  memcpy(prepared, x, code.columns * sizeof(float));
  memset(prepared + code.columns, 0, (size - code.columns) * sizeof(float));
}

inline float dot_barnes_wall(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  struct Product {
    const float* x;
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};

    void take(const BarnesWallGroups& groups) {
      alignas(64) float factors[lanes];
      _mm512_store_ps(factors, _mm512_mul_ps(groups.levels, inverse_root(groups.squares)));
      for (size_t g = 0; g < lanes; ++g) {
        const __m512 value = _mm512_mul_ps(float_coordinates(groups.coordinates[g]), _mm512_set1_ps(factors[g]));
        sum[g % 2] = _mm512_fmadd_ps(value, _mm512_load_ps(x + 16 * size_t{groups.places[g]}), sum[g % 2]);
      }
    }
  };
  Product product{prepared};
  BarnesWallDecoder(*code.barnes_wall).visit(code, codes, product);
  return _mm512_reduce_add_ps(_mm512_add_ps(product.sum[0], product.sum[1]));
}

inline void decode_barnes_wall(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  struct Row {
    size_t columns;
    __m512 scale;
    float* out;

    void take(const BarnesWallGroups& groups) {
      alignas(64) float factors[lanes];
      _mm512_store_ps(factors, _mm512_div_ps(_mm512_mul_ps(scale, groups.levels), _mm512_sqrt_ps(groups.squares)));
      for (size_t g = 0; g < groups.count; ++g) {
        const size_t first = 16 * size_t{groups.places[g]}, left = columns - first;
        const auto inside = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
        const __m512 value = _mm512_mul_ps(float_coordinates(groups.coordinates[g]), _mm512_set1_ps(factors[g]));
        _mm512_mask_storeu_ps(out + first, inside, value);
      }
    }
  };
  Row row{code.columns, _mm512_set1_ps(scale), out};
  BarnesWallDecoder(*code.barnes_wall).visit(code, codes, row);
}

}  // namespace
}  // namespace pyramidion
