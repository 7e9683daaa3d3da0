// Reads the pulses and symbols of patched rows with AVX2.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/pvq/patched_rows.h"
#include "cpu/symbol_factors/avx2.h"

namespace pyramidion {
namespace {

// The pulses of a block as they are before they are patched.
inline void unpack(const uint8_t* fields, int8_t* to) {
  for (size_t p = 0; p < parts; ++p) {
    const __m256i low = load(fields + 32 * p);
    for (size_t q = 0; q < PatchedRows::quads; ++q) {
      uint32_t bits;
      std::memcpy(&bits, fields + PatchedRows::plane_at + 8 * q + 4 * p, sizeof(bits));
      const __m256i v = _mm256_and_si256(_mm256_srli_epi32(low, static_cast<int>(2 * q)), _mm256_set1_epi8(3));
      const __m256i negative = _mm256_andnot_si256(bytes_of_bits(bits), _mm256_set1_epi8(-4));
      store(to + q * 64 + 32 * p, _mm256_or_si256(v, negative));
    }
  }
  _mm_prefetch(reinterpret_cast<const char*>(fields + 1024), _MM_HINT_T0);
}

inline Symbols read_symbols(const uint8_t* fields) {
  long long bits;
  std::memcpy(&bits, fields + PatchedRows::symbols_at, sizeof(bits));
  Symbols symbols;
  for (size_t p = 0; p < parts; ++p) {
    const __m256i places =
        _mm256_add_epi32(_mm256_set_epi32(12, 12, 8, 8, 4, 4, 0, 0), _mm256_set1_epi32(static_cast<int>(16 * p)));
    symbols.of[p] = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi64x(bits), places), _mm256_set1_epi32(15));
  }
  return symbols;
}

// What dot() takes in the place of pulses and of the inputs that they are multiplied with: <|p|, sign(p) x>.
inline Bytes left(Bytes pulses) { return _mm256_abs_epi8(pulses); }
inline Bytes right(Bytes pulses, Bytes inputs) { return _mm256_sign_epi8(inputs, pulses); }

// The pulses of part p, of groups that are kept negated as they are.
inline Bytes turn_back(Bytes pulses, const Symbols& symbols, size_t p) {
  return turned(pulses, _mm256_cmpgt_epi32(symbols.of[p], _mm256_set1_epi32(PatchedRows::negated - 1)));
}

}  // namespace
}  // namespace pyramidion
