// Codes of 1 to 8 bits in a little-endian bit stream, bit 0 first: what integer and MXINT rows are made of.
// FloatKernels::unpack_codes reads them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyramidion {

inline size_t small_code_bytes(size_t count, unsigned bits) { return (count * bits + 7) / 8; }

// Writes small_code_bytes(count, bits) bytes; padding bits are zero. Each code is below 2^bits.
inline void pack_small_codes(const uint8_t* codes, size_t count, unsigned bits, uint8_t* bytes) {
  uint32_t pending = 0;
  unsigned held = 0;
  for (size_t i = 0; i < count; ++i) {
    pending |= static_cast<uint32_t>(codes[i]) << held;
    held += bits;
    for (; held >= 8; held -= 8, pending >>= 8) *bytes++ = static_cast<uint8_t>(pending);
  }
  if (held > 0) *bytes = static_cast<uint8_t>(pending);
}

}  // namespace pyramidion
