// Reading of expanded rows with NEON, a quarter of a block, which is four groups, at once.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "cpu/expanded_product/shapes.h"
#include "cpu/expanded_product/word_bits.h"
#include "cpu/symbol_factors/neon.h"

namespace pyramidion {
namespace {

// The tags of a quarter, a lane each.
inline uint32x4_t read_tags(const uint8_t* tags, int bits, size_t quarter) {
  if (bits == 4) {
    uint64_t nibbles;
    std::memcpy(&nibbles, tags, sizeof(nibbles));
    const int32_t first = -8 * static_cast<int32_t>(quarter), second = first - 4;
    const int32x4_t places = {first, first, second, second};
    return vandq_u32(vshlq_u32(vreinterpretq_u32_u64(vdupq_n_u64(nibbles)), places), vdupq_n_u32(15));
  }
  if (bits == 8) {
    uint32_t bytes;
    std::memcpy(&bytes, tags + quarter * part_groups, sizeof(bytes));
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
  }
  return vmovl_u16(vld1_u16(reinterpret_cast<const uint16_t*>(tags) + quarter * part_groups));
}

// The pulses of a quarter, four groups of a quad a vector.
template <int Quads>
using Pulses = int8x16_t[Quads];

template <int Quads>
inline void read_narrow(const uint8_t* from, Pulses<Quads>& pulses) {
  for (int q = 0; q + 1 < Quads; q += 2) {
    const uint8x16_t both = vld1q_u8(from + q * 32);
    pulses[q] = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))), vdupq_n_s8(8));
    pulses[q + 1] = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), vdupq_n_s8(8));
  }
}

// Half pulses become pulses, p = 2 h + word bit. The bits of the first quad follow from the lowest three of the word's
// number; its next two turn those of quads 1 and 3, and of quads 2 and 3 (core/pvq/reed_muller.h).
inline void add_words(uint32x4_t tags, uint8x16x2_t first_bits, Pulses<4>& pulses) {
  const uint32x4_t number = vandq_u32(tags, vdupq_n_u32(7));
  const uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100), number, 0x04040404);
  const uint32x4_t ones = vdupq_n_u32(0x01010101);
  const uint32x4_t turn1 = vandq_u32(vtstq_u32(tags, vdupq_n_u32(8)), ones);
  const uint32x4_t turn2 = vandq_u32(vtstq_u32(tags, vdupq_n_u32(16)), ones);
  uint32x4_t odd[4];
  odd[0] = vreinterpretq_u32_u8(vqtbl2q_u8(first_bits, vreinterpretq_u8_u32(bytes)));
  odd[1] = veorq_u32(odd[0], turn1);
  odd[2] = veorq_u32(odd[0], turn2);
  odd[3] = veorq_u32(odd[1], turn2);
  for (int q = 0; q < 4; ++q) pulses[q] = vorrq_s8(vshlq_n_s8(pulses[q], 1), vreinterpretq_s8_u32(odd[q]));
}

template <int Quads>
inline void read_wide(const uint8_t* from, Pulses<Quads>& pulses) {
  for (int q = 0; q < Quads; ++q) pulses[q] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(from + q * 64), vdupq_n_u8(128)));
}

// What is kept modulo 16 and beyond -8..7 according to `bits`, one a byte, has the other upper half.
inline int8x16_t turn_overflows(int8x16_t pulses, uint64_t bits) {
  const uint8x16_t own = vcombine_u8(vdup_n_u8(static_cast<uint8_t>(bits)), vdup_n_u8(static_cast<uint8_t>(bits >> 8)));
  const uint8x16_t places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  const uint8x16_t turn = vandq_u8(vtstq_u8(own, places), vdupq_n_u8(0xf0));
  return veorq_s8(pulses, vreinterpretq_s8_u8(turn));
}

// level * (1 / ||p||) of a block's groups, by their tags.
template <int Quads, bool Words>
class TagFactors {
 public:
  explicit TagFactors(const ExpandedRows& rows)
      : table_(*rows.factors),
        tag_bits_(rows.tag_bits),
        // Of one quad many norms are unusual.
        by_symbols_(Quads > 1 && table_.levels.size() <= 16),
        of_symbols_(table_) {}

  void read(const uint8_t* tags, const Sums (&squares)[parts], Floats (&factors)[parts]) const {
    if (by_symbols_) return of_symbols_.read(symbols(tags), squares, factors);
    for (size_t quarter = 0; quarter < parts; ++quarter) {
      const uint32x4_t own = read_tags(tags, tag_bits_, quarter), level = Words ? vshrq_n_u32(own, 5) : own;
      const uint32x4_t place = vmlaq_n_u32(vreinterpretq_u32_s32(squares[quarter]), level, table_.stride);
      for (size_t i = 0; i < part_groups; ++i) factors[quarter][i] = table_.values[place[i]];
    }
  }

 private:
  Symbols symbols(const uint8_t* tags) const {
    if (tag_bits_ == 4) return symbols_of_nibbles(tags);
    if (tag_bits_ == 8) return {Words ? vshrq_n_u8(vld1q_u8(tags), 5) : vld1q_u8(tags)};
    const uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(tags)), high = vreinterpretq_u16_u8(vld1q_u8(tags + 16));
    return {Words ? vshrn_high_n_u16(vshrn_n_u16(low, 5), high, 5) : vmovn_high_u16(vmovn_u16(low), high)};
  }

  const GroupFactors& table_;
  const int tag_bits_;
  const bool by_symbols_;
  const SymbolFactors of_symbols_;
};

// A walk through the blocks of one row.
template <int Quads, bool Words>
class BlockCursor {
 public:
  BlockCursor() = default;
  BlockCursor(const ExpandedRows& rows, size_t row)
      : pulses_(rows.row_pulses(row)), tags_(rows.row_tags(row)), forms_(rows.row_forms(row)) {}

  // Those of the next block.
  const uint8_t* tags() const { return tags_; }

  // Block b, which must be the next: use(quarter, its pulses) for each.
  template <class Use>
  inline __attribute__((always_inline)) void read(const ExpandedRows& rows, size_t b, uint8x16x2_t first_bits,
                                                  const Use& use) {
    const uint8_t form = forms_ == nullptr ? ExpandedRows::wide : forms_[b];
    const bool is_wide = Quads == 1 || form == ExpandedRows::wide;
    const size_t vectors = is_wide ? Quads : Quads / 2, vector_bytes = 4 * rows.lanes(b);
    const uint8_t* from = pulses_;
    uint8_t whole[Quads * 64];
    if (vector_bytes < 64) {
      // No pulses in the lanes that are not kept.
      std::memset(whole, is_wide ? 0x80 : 0x88, sizeof(whole));
      for (size_t v = 0; v < vectors; ++v) std::memcpy(whole + v * 64, from + v * vector_bytes, vector_bytes);
      from = whole;
    }
    pulses_ += vectors * vector_bytes;
    const uint8_t* tags = tags_;
    tags_ += rows.tag_bytes();
    Pulses<Quads> own;
    if (is_wide) {
#pragma GCC unroll 4
      for (size_t quarter = 0; quarter < parts; ++quarter) {
        read_wide<Quads>(from + quarter * 16, own);
        use(quarter, own);
      }
      return;
    }
    if (form == 0) {
#pragma GCC unroll 4
      for (size_t quarter = 0; quarter < parts; ++quarter) {
        read_narrow<Quads>(from + quarter * 16, own);
        if constexpr (Words) add_words(read_tags(tags, rows.tag_bits, quarter), first_bits, own);
        use(quarter, own);
      }
      return;
    }
    // Keeps g++ from loading for both ways at once, ahead of the branch, which takes more registers than there are.
    asm volatile("" ::: "memory");
    uint64_t overflows[Quads] = {};
    for (int q = 0; q < Quads; ++q) {
      if ((form >> q & 1) == 0) continue;
      std::memcpy(&overflows[q], pulses_, sizeof(overflows[q]));
      pulses_ += sizeof(overflows[q]);
    }
#pragma GCC unroll 4
    for (size_t quarter = 0; quarter < parts; ++quarter) {
      read_narrow<Quads>(from + quarter * 16, own);
      for (int q = 0; q < Quads; ++q) own[q] = turn_overflows(own[q], overflows[q] >> 16 * quarter);
      if constexpr (Words) add_words(read_tags(tags, rows.tag_bits, quarter), first_bits, own);
      use(quarter, own);
    }
  }

 private:
  const uint8_t *pulses_, *tags_, *forms_;
};

}  // namespace
}  // namespace pyramidion
