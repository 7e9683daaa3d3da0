// Reads a few rows side by side, a block of each at a time. From the pulses of a block to its products operations wait
// for each other for some sixty cycles, more than the processor looks ahead; those of several rows do not.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "cpu/expanded_product/avx512_blocks.h"

namespace pyramidion {
namespace {

// What reading takes besides the rows.
template <int Quads, bool Words>
struct NarrowConstants {
  static constexpr int offset = Words ? 16 : 8;

  explicit NarrowConstants(const FactorReader& factors)
      : low(_mm512_set1_epi8(15)),
        places(_mm512_set_epi32(28, 28, 24, 24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0)),
        less(_mm512_set1_epi8(-2 * offset)),
        excess(_mm512_sub_epi32(_mm512_set1_epi32(4 * Quads * offset * offset), factors.least_square())),
        usual(_mm512_set1_epi32(GroupFactors::usual_norms)) {
    static const WordBits word_bits;
    bits = &word_bits;
    // The compiler, did it know them, would make them anew for every block.
    __asm__("" : "+v"(low), "+v"(places), "+v"(less), "+v"(usual));
  }

  // Four bits of each byte; where the tags of 16 lanes stand in 64 bits.
  __m512i low, places;
  // For <u, u - 2c> + D c^2 - least squared norm; with overflows, c is twice as large.
  __m512i less, excess;
  __m512i usual;
  const WordBits* bits;
};

template <int Quads, bool Words, int Rows>
class RowGroup {
 public:
  // Rows [first, first + Rows).
  RowGroup(const ExpandedRows& rows, size_t first, const FactorReader& factors,
           const NarrowConstants<Quads, Words>& constants)
      : rows_(rows),
        factors_(factors),
        together_(Quads > 1 && !rows.forms.empty() && factors.few_levels() && rows.tag_bits == kTagBits),
        next_group_(rows.row_pulses(first + Rows) - rows.row_pulses(first)),
        constants_(constants) {
    for (size_t r = 0; r < Rows; ++r) cursors_[r] = BlockCursor<Quads, Words>(rows, first + r);
  }

  // use(b, pulses, factors, std::integral_constant<int, log2 of the pulses' offset>) for all blocks b, in order.
  template <class Use>
  inline __attribute__((always_inline)) void read(const Use& use) {
    for (size_t b = 0; b < rows_.blocks; ++b) {
      if (together_) {
        b += plain_run(b, use);
        const Lanes<false> lanes(rows_.lanes(b));
        const uint8_t all = forms(b);
        if (all == 0 ? next<false>(lanes, b, 0, use)
                     : (all & ExpandedRows::wide) == 0 && next<true>(lanes, b, 0, use)) {
          for (size_t r = 0; r < Rows; ++r) {
            cursors_[r].advance(Quads / 2 * lanes.bytes + 8 * __builtin_popcount(cursors_[r].form(b)));
          }
          continue;
        }
      }
      alignas(64) uint8_t expanded[Rows][expanded_block_bytes<Quads>];
      Pulses<Quads> blocks[Rows];
      __m512 factors[Rows];
      for (size_t r = 0; r < Rows; ++r) {
        // A copy, so that the cursors themselves can stay in registers.
        BlockCursor<Quads, Words> cursor = cursors_[r];
        expand_block(rows_, factors_, cursor, b, expanded[r]);
        cursors_[r] = cursor;
      }
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        for (int q = 0; q < Quads; ++q) blocks[r].u[q] = _mm512_load_si512(expanded[r] + q * 64);
        factors[r] = _mm512_load_ps(expanded[r] + Quads * 64);
      }
      use(b, blocks, factors, std::integral_constant<int, 7>());
    }
  }

 private:
  static constexpr int kOffsetLog2 = Words ? 4 : 3;
  // Of 16 levels at most, or 8 and the number of a word.
  static constexpr int kTagBits = Words ? 8 : 4;

  // Whole blocks without overflows from b on: their number.
  template <class Use>
  inline __attribute__((always_inline)) size_t plain_run(size_t b, const Use& use) {
    size_t count = 0;
    for (; b + count + 1 < rows_.blocks && forms(b + count) == 0; ++count) {
      if (!next<false>(Lanes<true>(block_groups), b + count, count * Quads * 32, use)) break;
    }
    for (size_t r = 0; r < Rows; ++r) cursors_[r].advance(count * Quads * 32);
    return count;
  }

  uint8_t forms(size_t b) const {
    uint8_t all = 0;
    for (int r = 0; r < Rows; ++r) all |= cursors_[r].form(b);
    return all;
  }

  // Block b, which is narrow in all rows and `ahead` bytes ahead of the cursors, without moving them. Overflows:
  // whether it may have some. False, and nothing used, where a norm is not among the usual ones.
  template <bool Overflows, class Lanes, class Use>
  inline __attribute__((always_inline)) bool next(Lanes lanes, size_t b, size_t ahead, const Use& use) const {
    constexpr int offset_log2 = kOffsetLog2 + (Overflows ? 1 : 0);
    Pulses<Quads> blocks[Rows];
    __m512i levels[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const uint8_t* pulses = cursors_[r].pulses() + ahead;
      // As far ahead as the next group: the processor's own prefetching does not follow so many rows.
      for (int line = 0; line < Quads; line += 2) {
        _mm_prefetch(reinterpret_cast<const char*>(pulses + next_group_ + line * 32), _MM_HINT_T0);
      }
      if constexpr (Words) {
        const __m512i tags = read_tags(cursors_[r].tags(b, kTagBits * block_groups / 8), kTagBits);
        levels[r] = _mm512_srli_epi32(tags, 5);
        read_halves(pulses, lanes, *constants_.bits, tags, blocks[r]);
      } else {
        int64_t nibbles;
        std::memcpy(&nibbles, cursors_[r].tags(b, kTagBits * block_groups / 8), sizeof(nibbles));
        levels[r] = _mm512_srlv_epi32(_mm512_set1_epi64(nibbles), constants_.places);
        read_nibbles(pulses, lanes, constants_.low, blocks[r]);
      }
      if (Overflows) {
        add_overflows(pulses + Quads / 2 * lanes.bytes, cursors_[r].form(b), NarrowConstants<Quads, Words>::offset,
                      blocks[r]);
      }
    }
    // What squared norms have beyond the least one, and their places among the usual norms.
    __m512i excess[Rows], any = _mm512_setzero_si512();
    __m512i less = constants_.less, start = constants_.excess;
    if (Overflows) {
      constexpr int c = NarrowConstants<Quads, Words>::offset;
      less = _mm512_add_epi8(less, less);
      start = _mm512_add_epi32(start, _mm512_set1_epi32(12 * Quads * c * c));
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) excess[r] = start;
#pragma GCC unroll 8
    for (int q = 0; q < Quads; ++q) {
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        excess[r] = _mm512_dpbusd_epi32(excess[r], blocks[r].u[q], _mm512_add_epi8(blocks[r].u[q], less));
      }
    }
    __m512i place[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      place[r] = _mm512_srli_epi32(lanes.kept(excess[r]), Words ? 2 : 1);
      any = _mm512_or_si512(any, place[r]);
    }
    if (_mm512_cmpge_epu32_mask(any, constants_.usual) != 0) return false;
    __m512 factors[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      factors[r] = factors_.read_usual(levels[r], place[r]);
    }
    use(b, blocks, factors, std::integral_constant<int, offset_log2>());
    return true;
  }

  const ExpandedRows& rows_;
  const FactorReader& factors_;
  // Whether the rows have what next() reads.
  bool together_;
  ptrdiff_t next_group_;
  // A copy, for the registers.
  const NarrowConstants<Quads, Words> constants_;
  BlockCursor<Quads, Words> cursors_[Rows];
};

}  // namespace
}  // namespace pyramidion
