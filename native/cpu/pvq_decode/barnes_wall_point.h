// The point at an index of a Barnes-Wall pyramid, for the portable decoder: core/pvq/barnes_wall_index.h with tables.
#pragma once

#include <cstdint>

#include "core/pvq/barnes_wall_tables.h"
#include "cpu/pvq_decode/tree_point.h"

namespace pyramidion {
namespace {

// The magnitudes 2 c_i + 1 of the composition c of k in D parts. Ranks of eight parts fit 32 bits, whose division is
// much the faster.
template <int D, class Rank>
void decode_odd_magnitudes(const CompositionCounts& compositions, int k, Rank rank, int* magnitudes) {
  if constexpr (D == 2) {
    magnitudes[0] = 2 * static_cast<int>(rank) + 1;
    magnitudes[1] = 2 * (k - static_cast<int>(rank)) + 1;
  } else {
    const uint64_t* row = compositions.offsets(D, k);
    int j = 0;
    for (int step = 32; step > 0; step /= 2) j += j + step <= k && row[j + step] <= rank ? step : 0;
    const Rank right = static_cast<Rank>(compositions.count(D / 2, k - j)), rest = rank - static_cast<Rank>(row[j]);
    decode_odd_magnitudes<D / 2>(compositions, j, static_cast<uint32_t>(rest / right), magnitudes);
    decode_odd_magnitudes<D / 2>(compositions, k - j, static_cast<uint32_t>(rest % right), magnitudes + D / 2);
  }
}

// The parity of all signs is that of K/2.
inline uint64_t with_last_sign(const BarnesWallTables& tables, uint64_t signs, int last) {
  return signs | static_cast<uint64_t>((__builtin_popcountll(signs) + tables.index.spare()) & 1) << last;
}

template <class Pulse>
Pulse with_sign(int magnitude, uint64_t signs, int i) {
  return static_cast<Pulse>((signs >> i & 1) != 0 ? -magnitude : magnitude);
}

template <class Pulse>
void decode_barnes_wall_point(const BarnesWallTables& tables, uint64_t index, Pulse* p) {
  const BarnesWallIndex& points = tables.index;
  int odd[16];
  if (index < points.zeros_first()) {
    const uint64_t words = index >> 7, inner = words / 30;
    const TreeLevel& level = tables.eights;
    int t = 0;
    for (int step = 1 << level.row_shift >> 1; step > 0; step /= 2) t += level.offsets[t + step] <= inner ? step : 0;
    const int k = points.spare() - t;
    uint64_t evens;
    const uint64_t rank = divide(inner - level.offsets[t], level.half_counts[k], level.half_reciprocals[k], &evens);
    decode_odd_magnitudes<8>(points.compositions(), t, static_cast<uint32_t>(rank), odd);
    const uint64_t signs = with_last_sign(tables, index & 127, 7);
    Pulse halves[16];
    for (int i = 0; i < 8; ++i) halves[i] = with_sign<Pulse>(odd[i], signs, i);
    decode_point<8>(*tables.halved, k, evens, halves + 8);
    for (int i = 8; i < 16; ++i) halves[i] *= 2;
    const uint8_t* sources = tables.sources[words % 30];
    for (int i = 0; i < 16; ++i) p[i] = halves[sources[i]];
  } else if (index < points.ones_first()) {
    const PyramidTables& halved = *tables.halved;
    decode_point<16>(halved, halved.counts.pulses(), index - points.zeros_first(), p);
    for (int i = 0; i < 16; ++i) p[i] *= 2;
  } else {
    const uint64_t rest = index - points.ones_first(), signs = with_last_sign(tables, rest & 0x7fff, 15);
    decode_odd_magnitudes<16>(points.compositions(), points.spare() - 4, rest >> 15, odd);
    for (int i = 0; i < 16; ++i) p[i] = with_sign<Pulse>(odd[i], signs, i);
  }
}

}  // namespace
}  // namespace pyramidion
