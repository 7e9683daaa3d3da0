// The memory layout `split` of integer codes with D = 16: pulses in three bits each, as -4..3, and patches for the
// others, which the pulses' direction keeps few.
//
// A row is a sequence of blocks of 16 groups, one in each lane, in the quads of integer_tokens.h. A block is 104 bytes,
// of v = pulse modulo 8 in -4..3:
// - byte i of 64: v mod 4 of byte i of quad q in bits 2q and 2q + 1;
// - for each quad 64 bits: bit i is set where v of byte i is not negative;
// - 64 bits with the symbols of the groups, lane l's from bit 32 (l % 2) + 4 (l / 2) on: its level, and 8 where the
//   group is kept with all pulses negated, whichever way takes fewer patches.
// Lanes beyond the row hold zeros.
//
// Patches of up to 16 blocks (a span, 4096 pulses) stand together: two bytes each with the number n of toggles and m of
// wide pulses; n bytes, each how far a toggle is from the one before (the first from 0); m times two bytes with a place
// and a byte with the pulse, as p + 32. A toggle at a place makes v - 8 of v >= 0 and v + 8 of others. A gap beyond 255
// is a toggle at 255 and another at the same place. Places count bytes, 64 a quad.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "core/parallel/thread_pool.h"
#include "core/pvq/integer_tokens.h"
#include "core/pvq/pvq_code.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

struct PatchedRows {
  static bool supports(const PvqCode& code);

  // codes: valid ones of a supported code, row r at codes + r * stride, pvq_read_ahead bytes readable behind the last.
  PatchedRows(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set,
              ThreadPool* pool);

  static constexpr size_t quads = 4, block_bytes = 104, span_blocks = 16, span_pulses = span_blocks * quads * 64;
  static constexpr size_t plane_at = 64, symbols_at = 96;
  // Added to wide pulses.
  static constexpr int offset = 32;
  // In a group's symbol.
  static constexpr unsigned negated = 8;

  size_t groups, blocks;
  // rows x blocks x block_bytes.
  std::vector<uint8_t> fields;
  // Where a row's patches start.
  std::vector<uint32_t> starts;
  std::vector<uint8_t> patches;

  const uint8_t* row_fields(size_t row) const { return fields.data() + row * blocks * block_bytes; }
  const uint8_t* row_patches(size_t row) const { return patches.data() + starts[row]; }
  // Lanes of a block that hold groups.
  size_t lanes(size_t block) const { return std::min(block_groups, groups - block * block_groups); }
  size_t bytes() const { return fields.size() + starts.size() * sizeof(uint32_t) + patches.size(); }

  static unsigned symbol_place(size_t lane) { return static_cast<unsigned>(32 * (lane % 2) + 4 * (lane / 2)); }
  uint16_t level_of(unsigned symbol) const { return static_cast<uint16_t>(symbol % negated); }
  // The levels with which products of symbols are right; 0 for those that are not used.
  std::vector<float> symbol_levels(const std::vector<float>& levels) const;
};

// Patches a span of v, or of v + 32 where pulses are kept as Pulse = uint8_t; returns where the patches of the next
// begin.
template <class Pulse>
inline const uint8_t* patch_span(const uint8_t* patches, Pulse* span) {
  constexpr bool is_signed = std::is_signed<Pulse>::value;
  uint16_t toggles, wide;
  std::memcpy(&toggles, patches, sizeof(toggles));
  std::memcpy(&wide, patches + 2, sizeof(wide));
  patches += 4;
  Pulse* at = span;
  const auto toggle = [&at](uint8_t gap) {
    at += gap;
    // v + 32 is 0b0111vv below zero and 0b1000vv from there on; eight more or less is 0b1001vv and 0b0110vv. Without
    // the 32 it is 0b111111vv and 0b000000vv, 0b000001vv and 0b111110vv.
    *at = static_cast<Pulse>(*at ^ (is_signed ? 0xf8 : 0x38));
  };
  const uint8_t* const end = patches + toggles;
  for (; end - patches >= 4; patches += 4) {
    for (int i = 0; i < 4; ++i) toggle(patches[i]);
  }
  for (; patches < end; ++patches) toggle(*patches);
  for (; wide > 0; --wide, patches += 3) {
    span[patches[0] | patches[1] << 8] = static_cast<Pulse>(patches[2] - (is_signed ? PatchedRows::offset : 0));
  }
  return patches;
}

}  // namespace pyramidion
