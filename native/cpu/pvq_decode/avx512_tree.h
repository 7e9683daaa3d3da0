// The tree order walked for 16 groups at once, one in each lane, with AVX-512 (F, BW, DQ, VL, VBMI). Nodes whose index
// may pass 32 bits are handled as two vectors of 64-bit lanes.
//
// A division by a table entry is a product with its reciprocal, rounded down enough (see PyramidTables) that the
// quotient is right or one too small, and one correction. K <= 31 ("small") lets every table indexed by pulses sit in
// two registers (vpermt2d), and the walk stop at four dimensions with one gather from the QuadTable; beyond, four and
// two dimensions are computed from the closed forms of PyramidCounts.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

// GCC 12 takes the "undefined" vectors inside its own intrinsics for uninitialised variables (bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "core/pvq/pyramid_tables.h"

namespace pyramidion {
namespace {

struct Wide {
  __m512i low, high;
};

inline __m512i narrow(const Wide& wide) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(wide.low)), _mm512_cvtepi64_epi32(wide.high),
                            1);
}

inline Wide widen(__m512i narrow) {
  return {_mm512_cvtepu32_epi64(_mm512_castsi512_si256(narrow)),
          _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(narrow, 1))};
}

// 64-bit value / divisor; the quotient is below 2^48, and reciprocal = (1 - 2^-50) / divisor.
inline __m512i divide(__m512i value, __m512i divisor, __m512d reciprocal, __m512i* remainder) {
  __m512i quotient = _mm512_cvttpd_epu64(_mm512_mul_pd(_mm512_cvtepu64_pd(value), reciprocal));
  __m512i rest = _mm512_sub_epi64(value, _mm512_mullo_epi64(quotient, divisor));
  const __mmask8 low = _mm512_cmpge_epu64_mask(rest, divisor);
  *remainder = _mm512_mask_sub_epi64(rest, low, rest, divisor);
  return _mm512_mask_sub_epi64(quotient, low, quotient, _mm512_set1_epi64(-1));
}

// What the walk of one code looks up.
struct Lookup {
  explicit Lookup(const PyramidTables& pyramid) : tables(pyramid), pulses(pyramid.counts.pulses()) {
    alignas(64) uint32_t first[32], size[32];
    alignas(64) float inverse[32];
    for (int k = 0; k < 32; ++k) {
      first[k] = pyramid.quads->base()[k];
      size[k] = k == 0 ? 1 : 8 * k * (k * k + 2) / 3;
      // A float quotient below 2^18 is then right or one too small: 2^-21 outweighs its three roundings.
      inverse[k] = (1 - 0x1p-21f) / static_cast<float>(size[k]);
    }
    for (int half = 0; half < 2; ++half) {
      quad_base[half] = _mm512_load_si512(first + 16 * half);
      quad_count[half] = _mm512_load_si512(size + 16 * half);
      quad_reciprocal[half] = _mm512_load_ps(inverse + 16 * half);
    }
  }

  const PyramidTables& tables;
  int pulses;
  // By pulses 0..31: where P(4,k) starts in the QuadTable, N(4,k), and its reciprocal rounded down.
  __m512i quad_base[2], quad_count[2];
  __m512 quad_reciprocal[2];
};

// Walks a node of dimension d whose coordinates start at `first`; the sink takes quad(first, packed int8) or
// pair(first, int32, int32).

template <class Sink>
inline void walk_pair(int first, __m512i k, __m512i index, Sink& sink) {
  // As decode_pair in portable.cc.
  const __m512i shifted = _mm512_add_epi32(index, _mm512_set1_epi32(2));
  const __m512i left = _mm512_srli_epi32(shifted, 2), right = _mm512_sub_epi32(k, left);
  const __mmask16 low = _mm512_test_epi32_mask(shifted, _mm512_set1_epi32(1));
  const __mmask16 high = _mm512_test_epi32_mask(shifted, _mm512_set1_epi32(2));
  const __mmask16 alone = _mm512_testn_epi32_mask(right, right);
  const __mmask16 left_negative = static_cast<__mmask16>((alone & low) | (~alone & high));
  const __m512i zero = _mm512_setzero_si512();
  sink.pair(first, _mm512_mask_sub_epi32(left, left_negative, zero, left),
            _mm512_mask_sub_epi32(right, low, zero, right));
}

template <bool Small, class Sink>
inline void walk_four(const Lookup& lookup, int first, __m512i k, __m512i index, Sink& sink) {
  if constexpr (Small) {
    const __m512i base = _mm512_permutex2var_epi32(lookup.quad_base[0], k, lookup.quad_base[1]);
    sink.quad(first, _mm512_i32gather_epi32(_mm512_add_epi32(base, index), lookup.tables.quads->points(), 4));
  } else {
    // offset(4,k,j) = 4 k + 8 j (j-1) (3k - 2j + 1) / 3 for j > 0; the division is exact, so it is a product with the
    // inverse of 3 modulo 2^32.
    const __m512i four_k = _mm512_slli_epi32(k, 2);
    const __m512i three_k = _mm512_add_epi32(_mm512_add_epi32(k, k), _mm512_add_epi32(k, _mm512_set1_epi32(1)));
    const __m512i eight_thirds = _mm512_set1_epi32(static_cast<int>(0xaaaaaaabu << 3));
    __m512i j = _mm512_setzero_si512(), offset = j;
    for (int step = 1 << (31 - __builtin_clz(lookup.pulses)); step > 0; step /= 2) {
      const __m512i t = _mm512_add_epi32(j, _mm512_set1_epi32(step));
      const __m512i square = _mm512_mullo_epi32(t, _mm512_sub_epi32(t, _mm512_set1_epi32(1)));
      const __m512i cube = _mm512_mullo_epi32(square, _mm512_sub_epi32(three_k, _mm512_add_epi32(t, t)));
      const __m512i reached = _mm512_add_epi32(four_k, _mm512_mullo_epi32(cube, eight_thirds));
      const __mmask16 up = _mm512_mask_cmpge_epu32_mask(_mm512_cmple_epu32_mask(t, k), index, reached);
      j = _mm512_mask_mov_epi32(j, up, t);
      offset = _mm512_mask_mov_epi32(offset, up, reached);
    }
    const __m512i right = _mm512_sub_epi32(k, j), rest = _mm512_sub_epi32(index, offset);
    // N(2,k) = 4 k or 1. Both numbers are below 2^23, where a rounded float quotient never reaches the next integer.
    const __m512i count = _mm512_max_epu32(_mm512_slli_epi32(right, 2), _mm512_set1_epi32(1));
    const __m512i quotient = _mm512_cvttps_epi32(_mm512_div_ps(_mm512_cvtepi32_ps(rest), _mm512_cvtepi32_ps(count)));
    walk_pair(first, j, quotient, sink);
    walk_pair(first + 2, right, _mm512_sub_epi32(rest, _mm512_mullo_epi32(quotient, count)), sink);
  }
}

// Nodes of dimension 8 with K <= 31: N(8,31) is below 2^32. The root's k is a constant, which Root says.
template <bool Root, class Sink>
inline void walk_small_eight(const Lookup& lookup, int first, __m512i k, __m512i index, Sink& sink) {
  const PyramidTables::Level& level = lookup.tables.level(8);
  const __m512i row = Root ? _mm512_setzero_si512() : _mm512_slli_epi32(k, level.row_shift);
  __m512i j = row, offset = _mm512_setzero_si512();
  for (int step = 1 << (level.row_shift - 1); step > 0; step /= 2) {
    const __m512i t = _mm512_add_epi32(j, _mm512_set1_epi32(step));
    const __m512i reached = _mm512_i32gather_epi32(t, level.offsets32.data(), 4);
    const __mmask16 up = _mm512_cmpge_epu32_mask(index, reached);
    j = _mm512_mask_mov_epi32(j, up, t);
    offset = _mm512_mask_mov_epi32(offset, up, reached);
  }
  j = _mm512_sub_epi32(j, row);
  const __m512i right = _mm512_sub_epi32(k, j), rest = _mm512_sub_epi32(index, offset);
  const __m512i count = _mm512_permutex2var_epi32(lookup.quad_count[0], right, lookup.quad_count[1]);
  const __m512 reciprocal = _mm512_permutex2var_ps(lookup.quad_reciprocal[0], right, lookup.quad_reciprocal[1]);
  __m512i quotient = _mm512_cvttps_epu32(_mm512_mul_ps(_mm512_cvtepu32_ps(rest), reciprocal));
  __m512i remainder = _mm512_sub_epi32(rest, _mm512_mullo_epi32(quotient, count));
  const __mmask16 low = _mm512_cmpge_epu32_mask(remainder, count);
  remainder = _mm512_mask_sub_epi32(remainder, low, remainder, count);
  quotient = _mm512_mask_sub_epi32(quotient, low, quotient, _mm512_set1_epi32(-1));
  walk_four<true>(lookup, first, j, quotient, sink);
  walk_four<true>(lookup, first + 4, right, remainder, sink);
}

struct WideNode {
  __m512i left_pulses, right_pulses, left_index, right_index;
};

// One half of a wide node: the left half's pulses by binary search, then the indices by division.
inline WideNode split(const PyramidTables::Level& level, bool root, __m512i k, __m512i index) {
  const __m512i row = root ? _mm512_setzero_si512() : _mm512_slli_epi64(k, level.row_shift);
  __m512i j = row, offset = _mm512_setzero_si512();
  for (int step = 1 << (level.row_shift - 1); step > 0; step /= 2) {
    const __m512i t = _mm512_add_epi64(j, _mm512_set1_epi64(step));
    const __m512i reached = _mm512_i64gather_epi64(t, level.offsets.data(), 8);
    const __mmask8 up = _mm512_cmpge_epu64_mask(index, reached);
    j = _mm512_mask_mov_epi64(j, up, t);
    offset = _mm512_mask_mov_epi64(offset, up, reached);
  }
  WideNode node;
  node.left_pulses = _mm512_sub_epi64(j, row);
  node.right_pulses = _mm512_sub_epi64(k, node.left_pulses);
  const __m512i count = _mm512_i64gather_epi64(node.right_pulses, level.half_counts.data(), 8);
  const __m512d reciprocal = _mm512_i64gather_pd(node.right_pulses, level.half_reciprocals.data(), 8);
  node.left_index = divide(_mm512_sub_epi64(index, offset), count, reciprocal, &node.right_index);
  return node;
}

template <int D, bool Small, bool Root, class Sink>
inline void walk(const Lookup& lookup, int first, __m512i k, const Wide& index, Sink& sink) {
  if constexpr (D == 2) {
    walk_pair(first, k, narrow(index), sink);
  } else if constexpr (D == 4) {
    walk_four<Small>(lookup, first, k, narrow(index), sink);
  } else if constexpr (D == 8 && Small) {
    walk_small_eight<Root>(lookup, first, k, narrow(index), sink);
  } else {
    const Wide pulses = widen(k);
    const WideNode low = split(lookup.tables.level(D), Root, pulses.low, index.low);
    const WideNode high = split(lookup.tables.level(D), Root, pulses.high, index.high);
    walk<D / 2, Small, false>(lookup, first, narrow({low.left_pulses, high.left_pulses}),
                              Wide{low.left_index, high.left_index}, sink);
    walk<D / 2, Small, false>(lookup, first + D / 2, narrow({low.right_pulses, high.right_pulses}),
                              Wide{low.right_index, high.right_index}, sink);
  }
}

}  // namespace
}  // namespace pyramidion
