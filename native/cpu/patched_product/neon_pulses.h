// Reads the pulses and symbols of patched rows with NEON.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/pvq/patched_rows.h"
#include "cpu/symbol_factors/neon.h"

namespace pyramidion {
namespace {

// The pulses of a block as they are before they are patched.
inline void unpack(const uint8_t* fields, int8_t* to) {
  for (size_t q = 0; q < PatchedRows::quads; ++q) {
    uint8x16_t negative[parts];
    repeat_bits(vmvn_u8(vld1_u8(fields + PatchedRows::plane_at + 8 * q)), negative);
    for (size_t p = 0; p < parts; ++p) {
      // What is above the low two bits gives way to the sign.
      const uint8x16_t low = vld1q_u8(fields + 16 * p) >> static_cast<uint8_t>(2 * q);
      vst1q_s8(to + q * 64 + 16 * p, vreinterpretq_s8_u8(vsliq_n_u8(low, negative[p], 2)));
    }
  }
  __builtin_prefetch(fields + 1024);
}

inline Symbols read_symbols(const uint8_t* fields) { return symbols_of_nibbles(fields + PatchedRows::symbols_at); }

// What dot() takes in the place of pulses and of the inputs that they are multiplied with.
inline Bytes left(Bytes pulses) { return pulses; }
inline Bytes right(Bytes, Bytes inputs) { return inputs; }

// The pulses of part p, of groups that are kept negated as they are.
inline Bytes turn_back(Bytes pulses, const Symbols& symbols, size_t p) {
  uint8x16_t negated[parts];
  repeat_four_times(vtstq_u8(symbols.of, vdupq_n_u8(PatchedRows::negated)), negated);
  return turned(pulses, negated[p]);
}

}  // namespace
}  // namespace pyramidion
