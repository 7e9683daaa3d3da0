// The factors of 16 groups by their symbols and squared norms, with AVX-512 (F, BW, DQ, VL, VNNI).
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

// GCC 12 takes the "undefined" vectors inside its own intrinsics for uninitialised variables (bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "core/pvq/group_factors.h"

namespace pyramidion {
namespace {

// A constant that stays in its register: GCC makes vectors of equal numbers anew each time, through the port that
// permutations need.
inline __m512i kept(__m512i constant) {
  asm("" : "+v"(constant));
  return constant;
}
inline __m512i kept(int constant) { return kept(_mm512_set1_epi32(constant)); }

// level * (1 / ||p||): by registers where all 16 norms are among the 16 Vectors most usual, else out of the table of
// all.
template <int Vectors>
class SymbolFactors {
 public:
  explicit SymbolFactors(const GroupFactors& factors)
      : table_(factors.values.data() + factors.first_norm),
        stride_(kept(static_cast<int>(factors.stride))),
        before_(kept(-static_cast<int>(factors.first_norm))),
        levels_(
            _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << factors.levels.size()) - 1), factors.levels.data())) {
    for (int i = 0; i < Vectors; ++i) inverse_norms_[i] = _mm512_load_ps(factors.inverse_norms + 16 * i);
  }

  // What sums of squares begin with, so that the least squared norm of a point becomes 0.
  __m512i before_squares() const { return before_; }

  // square: of what begins like this. Lanes beyond the row, whose squares are below zero, get any factor if `partial`.
  __m512 read(__m512i symbols, __m512i square, bool partial) const {
    if (partial) square = _mm512_max_epi32(square, _mm512_setzero_si512());
    const __m512i usual = _mm512_srli_epi32(square, 1);
    if (__builtin_expect(_mm512_cmpge_epu32_mask(usual, bound_) != 0, 0)) {
      return _mm512_i32gather_ps(_mm512_add_epi32(_mm512_mullo_epi32(symbols, stride_), square), table_, 4);
    }
    __m512 norms = _mm512_permutex2var_ps(inverse_norms_[0], usual, inverse_norms_[1]);
    if constexpr (Vectors == 4) {
      const __m512 upper = _mm512_permutex2var_ps(inverse_norms_[2], usual, inverse_norms_[3]);
      norms = _mm512_mask_mov_ps(norms, _mm512_cmpge_epu32_mask(usual, half_bound_), upper);
    }
    return _mm512_mul_ps(_mm512_permutexvar_ps(symbols, levels_), norms);
  }

 private:
  const float* table_;
  const __m512i stride_, before_, bound_ = kept(16 * Vectors), half_bound_ = kept(8 * Vectors);
  const __m512 levels_;
  __m512 inverse_norms_[Vectors];
};

}  // namespace
}  // namespace pyramidion
