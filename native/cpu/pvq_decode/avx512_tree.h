// The tree order walked for 16 groups at once, one in each lane, with AVX-512. Nodes whose index may pass 32 bits are
// handled as two vectors of 64-bit lanes.
//
// A division by a table entry is a product with its reciprocal, rounded down enough (see TreeLevel) that the quotient
// is right or one too small, and one correction. K <= 31 ("small") lets every table indexed by pulses sit in two
// registers (vpermt2d), and the walk stop at four dimensions with one gather from the QuadTable; beyond, four and two
// dimensions are computed from the closed forms of PyramidCounts.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/pvq/pyramid_tables.h"
#include "cpu/pvq_decode/avx512_wide.h"

namespace pyramidion {
namespace {

// A QuadTable, what is looked up by pulses in registers.
struct Quads {
  explicit Quads(const QuadTable& table) : points(table.points()) {
    static_assert(QuadTable::max_pulses == 31, "tables by pulses are looked up in two registers");
    for (int half = 0; half < 2; ++half) {
      base[half] = _mm512_load_si512(table.base + 16 * half);
      count[half] = _mm512_load_si512(table.counts + 16 * half);
      reciprocal[half] = _mm512_load_ps(table.reciprocals + 16 * half);
    }
  }

  // The points of nodes with k pulses, as packed int8.
  __m512i read(__m512i k, __m512i index) const {
    const __m512i start = _mm512_permutex2var_epi32(base[0], k, base[1]);
    return _mm512_i32gather_epi32(_mm512_add_epi32(start, index), points, 4);
  }

  const uint32_t* points;
  __m512i base[2], count[2];
  __m512 reciprocal[2];
};

// What the walk of one code looks up.
struct Lookup {
  explicit Lookup(const PyramidTables& pyramid)
      : tables(pyramid), pulses(pyramid.counts.pulses()), quads(*pyramid.quads) {}

  const PyramidTables& tables;
  int pulses;
  Quads quads;
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
  // With more pulses most groups still have few in each four dimensions.
  if (Small || _mm512_cmpgt_epu32_mask(k, _mm512_set1_epi32(QuadTable::max_pulses)) == 0) {
    sink.quad(first, lookup.quads.read(k, index));
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

// Divides what is left of a small node's index among its halves and walks them.
template <class Sink>
inline void divide_small_eight(const Quads& quads, int first, __m512i k, __m512i j, __m512i rest, Sink& sink) {
  const __m512i right = _mm512_sub_epi32(k, j);
  const __m512i count = _mm512_permutex2var_epi32(quads.count[0], right, quads.count[1]);
  const __m512 reciprocal = _mm512_permutex2var_ps(quads.reciprocal[0], right, quads.reciprocal[1]);
  __m512i quotient = _mm512_cvttps_epu32(_mm512_mul_ps(_mm512_cvtepu32_ps(rest), reciprocal));
  __m512i remainder = _mm512_sub_epi32(rest, _mm512_mullo_epi32(quotient, count));
  const __mmask16 low = _mm512_cmpge_epu32_mask(remainder, count);
  remainder = _mm512_mask_sub_epi32(remainder, low, remainder, count);
  quotient = _mm512_mask_sub_epi32(quotient, low, quotient, _mm512_set1_epi32(-1));
  sink.quad(first, quads.read(j, quotient));
  sink.quad(first + 4, quads.read(right, remainder));
}

// One step of a binary search: up by `step` where the entry there is not above the index.
struct Search {
  __m512i index, j, offset;

  void step(__m512i t, __m512i entry) {
    const __mmask16 up = _mm512_cmpge_epu32_mask(index, entry);
    j = _mm512_mask_mov_epi32(j, up, t);
    offset = _mm512_mask_mov_epi32(offset, up, entry);
  }
};

// The largest j with row[j] <= index, for a row of 64 that all lanes share.
inline Search search_row(const uint32_t* row, int pulses, __m512i index) {
  const __m512i zero = _mm512_setzero_si512();
  Search search{index, zero, zero};
  const __m512i entries[4] = {_mm512_loadu_si512(row), _mm512_loadu_si512(row + 16), _mm512_loadu_si512(row + 32),
                              _mm512_loadu_si512(row + 48)};
  if (pulses >= 32) search.step(_mm512_set1_epi32(32), _mm512_set1_epi32(static_cast<int>(row[32])));
  if (pulses >= 16) {
    const __m512i t = _mm512_or_si512(search.j, _mm512_set1_epi32(16));
    search.step(t, _mm512_mask_mov_epi32(_mm512_set1_epi32(static_cast<int>(row[16])),
                                         _mm512_test_epi32_mask(t, _mm512_set1_epi32(32)),
                                         _mm512_set1_epi32(static_cast<int>(row[48]))));
  }
  for (int step = 8; step > 0; step /= 2) {
    const __m512i t = _mm512_or_si512(search.j, _mm512_set1_epi32(step));
    __m512i entry = _mm512_permutex2var_epi32(entries[0], t, entries[1]);
    if (pulses >= 32) {
      entry = _mm512_mask_mov_epi32(entry, _mm512_test_epi32_mask(t, _mm512_set1_epi32(32)),
                                    _mm512_permutex2var_epi32(entries[2], t, entries[3]));
    }
    search.step(t, entry);
  }
  return search;
}

// Step `Step` of the search below: the entry of place j | Step, j being a multiple of 2 Step; Base holds j's bits above
// Bit.
template <int Width, int Step, int Base = 0, int Bit = Width / 2>
inline __m512i column_entry(const uint32_t* columns, __m512i j, __m512i k) {
  if constexpr (Bit == Step) {
    const uint32_t* column = columns + Width * (Base + Step);
    const __m512i entry = _mm512_permutex2var_epi32(_mm512_loadu_si512(column), k, _mm512_loadu_si512(column + 16));
    if constexpr (Width == 32) return entry;
    return _mm512_mask_mov_epi32(
        entry, _mm512_test_epi32_mask(k, _mm512_set1_epi32(32)),
        _mm512_permutex2var_epi32(_mm512_loadu_si512(column + 32), k, _mm512_loadu_si512(column + 48)));
  } else {
    return _mm512_mask_mov_epi32(column_entry<Width, Step, Base, Bit / 2>(columns, j, k),
                                 _mm512_test_epi32_mask(j, _mm512_set1_epi32(Bit)),
                                 column_entry<Width, Step, Base + Bit, Bit / 2>(columns, j, k));
  }
}

template <int Width, int Step, int Last>
inline void search_in_registers(const uint32_t* columns, __m512i k, Search& search) {
  const __m512i t = _mm512_or_si512(search.j, _mm512_set1_epi32(Step));
  search.step(t, column_entry<Width, Step>(columns, search.j, k));
  if constexpr (Step > Last) search_in_registers<Width, Step / 2, Last>(columns, k, search);
}

// Two nodes of dimension 8 side by side, so that one's searches fill the other's waits. The first steps look a column j
// up by k in registers, the others gather.
template <int Width>
inline void search_columns(const uint32_t* const (&columns)[2], const __m512i (&k)[2], Search (&search)[2]) {
  // The last step in registers: one more, and permutations take as long as a gather.
  constexpr int last = Width == 32 ? 2 : 8;
  for (int node = 0; node < 2; ++node)
    search_in_registers<Width, Width / 2, last>(columns[node], k[node], search[node]);
  for (int step = last / 2; step > 0; step /= 2) {
    for (int node = 0; node < 2; ++node) {
      const __m512i t = _mm512_or_si512(search[node].j, _mm512_set1_epi32(step));
      const __m512i place = _mm512_add_epi32(_mm512_mullo_epi32(t, _mm512_set1_epi32(Width)), k[node]);
      search[node].step(t, _mm512_i32gather_epi32(place, columns[node], 4));
    }
  }
}

// Entries of a table of 64-bit numbers, 16 or more: by permutations where those are few, as gathers cost more.
inline Wide read_wide(const void* table, size_t size, __m512i place) {
  const __m256i low = _mm512_castsi512_si256(place), high = _mm512_extracti64x4_epi64(place, 1);
  if (size > 64) return {_mm512_i32gather_epi64(low, table, 8), _mm512_i32gather_epi64(high, table, 8)};
  const __m512i* entries = static_cast<const __m512i*>(table);
  const Wide places = {_mm512_cvtepu32_epi64(low), _mm512_cvtepu32_epi64(high)};
  const auto read_16 = [&](size_t first, __m512i at) {
    return _mm512_permutex2var_epi64(_mm512_loadu_si512(entries + first / 8), at,
                                     _mm512_loadu_si512(entries + first / 8 + 1));
  };
  Wide found = {read_16(0, places.low), read_16(0, places.high)};
  for (size_t first = 16; first < size; first += 16) {
    const __m512i from = _mm512_set1_epi64(static_cast<long long>(first));
    found.low = _mm512_mask_mov_epi64(found.low, _mm512_cmpge_epu64_mask(places.low, from), read_16(first, places.low));
    found.high =
        _mm512_mask_mov_epi64(found.high, _mm512_cmpge_epu64_mask(places.high, from), read_16(first, places.high));
  }
  return found;
}

// Pulses and indices of a wide node's halves.
struct Halves {
  __m512i pulses[2];
  Wide index[2];
};

// Divides what is left of a wide node's index among its halves.
inline Halves divide_wide(const TreeLevel& level, __m512i k, __m512i j, const Wide& rest) {
  Halves halves;
  halves.pulses[0] = j;
  halves.pulses[1] = _mm512_sub_epi32(k, j);
  const Wide count = read_wide(level.half_counts.data(), level.half_counts.size(), halves.pulses[1]);
  const Wide reciprocal = read_wide(level.half_reciprocals.data(), level.half_reciprocals.size(), halves.pulses[1]);
  halves.index[0] = {divide(rest.low, count.low, _mm512_castsi512_pd(reciprocal.low), &halves.index[1].low),
                     divide(rest.high, count.high, _mm512_castsi512_pd(reciprocal.high), &halves.index[1].high)};
  return halves;
}

inline __m512i leading_bits(const TreeLevel& level, const Wide& index) {
  const auto shift = static_cast<unsigned>(level.coarse_shift);
  return narrow({_mm512_srli_epi64(index.low, shift), _mm512_srli_epi64(index.high, shift)});
}

// The halves of a wide node from a j found by the leading bits of its offsets, which is right or, where those are
// equal, too large. row: where the node's offsets start.
inline Halves split_at(const TreeLevel& level, __m512i row, __m512i k, __m512i j, const Wide& index) {
  for (;;) {
    const Wide offset = read_wide(level.offsets.data(), level.offsets.size(), _mm512_add_epi32(row, j));
    const auto above = static_cast<__mmask16>(_mm512_cmpgt_epu64_mask(offset.low, index.low) |
                                              _mm512_cmpgt_epu64_mask(offset.high, index.high) << 8);
    if (above == 0) {
      return divide_wide(level, k, j,
                         {_mm512_sub_epi64(index.low, offset.low), _mm512_sub_epi64(index.high, offset.high)});
    }
    j = _mm512_mask_sub_epi32(j, above, j, _mm512_set1_epi32(1));
  }
}

inline __m512i row_start(const TreeLevel& level, __m512i k) {
  return _mm512_slli_epi32(k, static_cast<unsigned>(level.row_shift));
}

// Any wide node, by binary search in memory.
inline Halves split(const TreeLevel& level, __m512i row, __m512i k, const Wide& index) {
  __m512i j = row;
  for (int step = 1 << (level.row_shift - 1); step > 0; step /= 2) {
    const __m512i t = _mm512_add_epi32(j, _mm512_set1_epi32(step));
    const __m512i low = _mm512_i32gather_epi64(_mm512_castsi512_si256(t), level.offsets.data(), 8);
    const __m512i high = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(t, 1), level.offsets.data(), 8);
    const auto up = static_cast<__mmask16>(_mm512_cmpge_epu64_mask(index.low, low) |
                                           _mm512_cmpge_epu64_mask(index.high, high) << 8);
    j = _mm512_mask_mov_epi32(j, up, t);
  }
  return split_at(level, row, k, _mm512_sub_epi32(j, row), index);
}

// The root of a wide tree.
inline Halves split_root(const TreeLevel& level, int pulses, __m512i k, const Wide& index) {
  const __m512i row = _mm512_setzero_si512();
  if (pulses >= 64) return split(level, row, k, index);
  return split_at(level, row, k, search_row(level.coarse.data(), pulses, leading_bits(level, index)).j, index);
}

// Two nodes of dimension 8 below a root, each of at most 31 pulses and with tables of its own.
template <class Sink>
inline void walk_small_eights(const TreeLevel& left, const Quads& left_quads, const TreeLevel& right,
                              const Quads& right_quads, int first, const Halves& nodes, Sink& sink) {
  const __m512i zero = _mm512_setzero_si512();
  Search search[2] = {{narrow(nodes.index[0]), zero, zero}, {narrow(nodes.index[1]), zero, zero}};
  search_columns<32>({left.coarse.data(), right.coarse.data()}, nodes.pulses, search);
  const Quads* quads[2] = {&left_quads, &right_quads};
  for (int node = 0; node < 2; ++node) {
    const __m512i rest = _mm512_sub_epi32(search[node].index, search[node].offset);
    divide_small_eight(*quads[node], first + 8 * node, nodes.pulses[node], search[node].j, rest, sink);
  }
}

template <bool Small, class Sink>
inline void walk_eights(const Lookup& lookup, int first, const Halves& nodes, Sink& sink) {
  const TreeLevel& level = lookup.tables.level(8);
  if constexpr (Small) {
    walk_small_eights(level, lookup.quads, level, lookup.quads, first, nodes, sink);
  } else {
    const __m512i zero = _mm512_setzero_si512();
    Search search[2] = {{leading_bits(level, nodes.index[0]), zero, zero},
                        {leading_bits(level, nodes.index[1]), zero, zero}};
    search_columns<64>({level.coarse.data(), level.coarse.data()}, nodes.pulses, search);
    for (int node = 0; node < 2; ++node) {
      const __m512i k = nodes.pulses[node];
      const Halves quads = split_at(level, row_start(level, k), k, search[node].j, nodes.index[node]);
      for (int half = 0; half < 2; ++half) {
        walk_four<false>(lookup, first + 8 * node + 4 * half, quads.pulses[half], narrow(quads.index[half]), sink);
      }
    }
  }
}

// The whole tree of a code: k holds K in every lane.
template <int D, bool Small, class Sink>
inline void walk(const Lookup& lookup, __m512i k, const Wide& index, Sink& sink) {
  if constexpr (D == 2) {
    walk_pair(0, k, narrow(index), sink);
  } else if constexpr (D == 4) {
    walk_four<Small>(lookup, 0, k, narrow(index), sink);
  } else if constexpr (D == 8 && Small) {
    const Search search = search_row(lookup.tables.level(8).coarse.data(), lookup.pulses, narrow(index));
    divide_small_eight(lookup.quads, 0, k, search.j, _mm512_sub_epi32(search.index, search.offset), sink);
  } else {
    const Halves halves = split_root(lookup.tables.level(D), lookup.pulses, k, index);
    for (int half = 0; half < 2; ++half) {
      if constexpr (D == 8) {
        walk_four<false>(lookup, 4 * half, halves.pulses[half], narrow(halves.index[half]), sink);
      } else if constexpr (D == 32) {
        const TreeLevel& level = lookup.tables.level(16);
        const __m512i pulses = halves.pulses[half];
        walk_eights<Small>(lookup, 16 * half, split(level, row_start(level, pulses), pulses, halves.index[half]), sink);
      }
    }
    if constexpr (D == 16) walk_eights<Small>(lookup, 0, halves, sink);
  }
}

}  // namespace
}  // namespace pyramidion
