// Blocks of 16 groups with NEON, in four vectors: factors by symbols and squared norms, bits as masks.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <arm_neon.h>

#include "core/pvq/group_factors.h"
#include "core/pvq/integer_tokens.h"
#include "cpu/quad_dots/neon.h"

namespace pyramidion {
namespace {

constexpr size_t parts = 4, part_groups = block_groups / parts;
// Of a part: four bytes, a sum and a float a group.
using Bytes = int8x16_t;
using Sums = int32x4_t;
using Floats = float32x4_t;
// Of a block, a symbol a lane.
struct Symbols {
  uint8x16_t of;

  void store(uint8_t* to) const { vst1q_u8(to, of); }
};

inline Bytes load(const int8_t* bytes) { return vld1q_s8(bytes); }
// Signed ones, as PvqPulsesKernel has them.
inline void store_pulses(uint8_t* to, Bytes pulses) {
  vst1q_u8(to, veorq_u8(vreinterpretq_u8_s8(pulses), vdupq_n_u8(128)));
}
inline Floats load_floats(const float* from) { return vld1q_f32(from); }
inline void store_floats(float* to, Floats floats) { vst1q_f32(to, floats); }
inline Floats floats_of(Sums sums) { return vcvtq_f32_s32(sums); }
inline Floats multiply_add(Floats a, Floats b, Floats sum) { return vfmaq_f32(sum, a, b); }

// Bytes with one bit each: eight from the lowest up, and again.
inline uint8x16_t rising_bits() { return vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201)); }

// Each byte four times, the bytes of the lanes of part after part.
inline void repeat_four_times(uint8x16_t bytes, uint8x16_t (&lanes)[parts]) {
  const uint8x16x2_t twice = vzipq_u8(bytes, bytes);
  for (size_t half = 0; half < 2; ++half) {
    const uint16x8_t own = vreinterpretq_u16_u8(twice.val[half]);
    const uint16x8x2_t both = vzipq_u16(own, own);
    for (size_t i = 0; i < 2; ++i) lanes[2 * half + i] = vreinterpretq_u8_u16(both.val[i]);
  }
}

// Each of eight bytes eight times.
inline void repeat_eight_times(uint8x8_t bytes, uint8x16_t (&eights)[parts]) {
  uint8x16_t fours[parts];
  repeat_four_times(vcombine_u8(bytes, bytes), fours);
  for (size_t half = 0; half < 2; ++half) {
    const uint32x4_t own = vreinterpretq_u32_u8(fours[half]);
    const uint32x4x2_t both = vzipq_u32(own, own);
    for (size_t i = 0; i < 2; ++i) eights[2 * half + i] = vreinterpretq_u8_u32(both.val[i]);
  }
}

// Each bit in all of a byte.
inline void repeat_bits(uint8x8_t bits, uint8x16_t (&bytes)[parts]) {
  repeat_eight_times(bits, bytes);
  for (uint8x16_t& part : bytes) part = vtstq_u8(part, rising_bits());
}

// -x where `negative`.
inline int8x16_t turned(int8x16_t x, uint8x16_t negative) {
  return vsubq_s8(veorq_s8(x, vreinterpretq_s8_u8(negative)), vreinterpretq_s8_u8(negative));
}

// Of 16 lanes, lane l's four bits from bit 32 (l % 2) + 4 (l / 2) on.
inline Symbols symbols_of_nibbles(const uint8_t* from) {
  const uint8x16_t bytes = vcombine_u8(vld1_u8(from), vdup_n_u8(0));
  // Those of the even lanes, then those of the odd ones.
  const uint8x16_t symbols = vzip1q_u8(vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8(bytes, 4));
  return {vzip1q_u8(symbols, vextq_u8(symbols, symbols, 8))};
}

// level * (1 / ||p||): by permutations where all norms are among the 32 most usual, a byte of the floats after the
// other, else out of the table of all.
class SymbolFactors {
 public:
  // For the first 16 symbols.
  explicit SymbolFactors(const GroupFactors& factors)
      : table_(factors.values.data()),
        stride_(factors.stride),
        first_(vdupq_n_s32(static_cast<int32_t>(factors.first_norm))),
        halvings_(vdupq_n_s8(static_cast<int8_t>(1 - static_cast<int>(factors.norm_shift)))) {
    float levels[16] = {};
    for (size_t i = 0; i < 16 && i < factors.levels.size(); ++i) levels[i] = factors.levels[i];
    levels_ = bytes_of_floats(levels);
    const uint8x16x4_t low = bytes_of_floats(factors.inverse_norms), high = bytes_of_floats(factors.inverse_norms + 16);
    for (int byte = 0; byte < 4; ++byte) inverse_norms_[byte] = {{low.val[byte], high.val[byte]}};
  }

  // squares: of lanes beyond the row less than that of a point; they get any factor.
  void read(const Symbols& symbols, const Sums (&squares)[parts], Floats (&factors)[parts]) const {
    const uint16x8_t low = vqshrun_high_n_s32(narrow(squares[0]), vsubq_s32(squares[1], first_), 1);
    const uint16x8_t high = vqshrun_high_n_s32(narrow(squares[2]), vsubq_s32(squares[3], first_), 1);
    const uint8x16_t usual = vshlq_u8(vqmovn_high_u16(vqmovn_u16(low), high), halvings_);
    if (__builtin_expect(vmaxvq_u8(usual) > 31, 0)) {
      const float32x4x4_t found = look_up(symbols, {{squares[0], squares[1], squares[2], squares[3]}});
      for (size_t p = 0; p < parts; ++p) factors[p] = found.val[p];
      return;
    }
    uint8x16x4_t levels, norms;
    for (int byte = 0; byte < 4; ++byte) {
      levels.val[byte] = vqtbl1q_u8(levels_.val[byte], symbols.of);
      norms.val[byte] = vqtbl2q_u8(inverse_norms_[byte], usual);
    }
    Floats norm[parts];
    floats_of_bytes(levels, factors);
    floats_of_bytes(norms, norm);
    for (size_t p = 0; p < parts; ++p) factors[p] = vmulq_f32(factors[p], norm[p]);
  }

 private:
  uint16x4_t narrow(Sums squares) const { return vqshrun_n_s32(vsubq_s32(squares, first_), 1); }

  // Byte i of 16 floats in vector i.
  static uint8x16x4_t bytes_of_floats(const float* floats) {
    return vld4q_u8(reinterpret_cast<const uint8_t*>(floats));
  }

  static void floats_of_bytes(const uint8x16x4_t& bytes, Floats (&floats)[parts]) {
    const uint8x16x2_t low = vzipq_u8(bytes.val[0], bytes.val[1]), high = vzipq_u8(bytes.val[2], bytes.val[3]);
    for (size_t half = 0; half < 2; ++half) {
      const uint16x8x2_t both = vzipq_u16(vreinterpretq_u16_u8(low.val[half]), vreinterpretq_u16_u8(high.val[half]));
      for (size_t i = 0; i < 2; ++i) floats[2 * half + i] = vreinterpretq_f32_u16(both.val[i]);
    }
  }

  // In registers, so that what is seldom needed puts nothing in memory.
  __attribute__((noinline)) float32x4x4_t look_up(Symbols symbols, int32x4x4_t squares) const {
    uint8x16_t lanes[parts];
    repeat_four_times(symbols.of, lanes);
    uint32_t places[block_groups];
    float found[block_groups];
    for (size_t p = 0; p < parts; ++p) {
      const uint32x4_t symbol = vshrq_n_u32(vreinterpretq_u32_u8(lanes[p]), 24);
      vst1q_u32(places + p * part_groups, vmlaq_n_u32(vreinterpretq_u32_s32(squares.val[p]), symbol, stride_));
    }
    for (size_t lane = 0; lane < block_groups; ++lane) found[lane] = table_[places[lane]];
    float32x4x4_t factors;
    for (size_t p = 0; p < parts; ++p) factors.val[p] = vld1q_f32(found + p * part_groups);
    return factors;
  }

  const float* table_;
  const uint32_t stride_;
  const int32x4_t first_;
  // Norms less the first are halved as they become bytes; this shifts them by what is missing.
  const int8x16_t halvings_;
  uint8x16x4_t levels_;
  uint8x16x2_t inverse_norms_[4];
};

}  // namespace
}  // namespace pyramidion
