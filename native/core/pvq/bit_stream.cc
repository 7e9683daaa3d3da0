#include "core/pvq/bit_stream.h"

namespace pyramidion {

void pack_codes(const uint64_t* codes, size_t count, int bits, uint8_t* bytes) {
  // 64 bits of a code and up to 7 left over from the one before.
  unsigned __int128 pending = 0;
  int held = 0;
  for (size_t i = 0; i < count; ++i) {
    pending |= static_cast<unsigned __int128>(codes[i]) << held;
    held += bits;
    for (; held >= 8; held -= 8, pending >>= 8) *bytes++ = static_cast<uint8_t>(pending);
  }
  if (held > 0) *bytes = static_cast<uint8_t>(pending);
}

void unpack_codes(const uint8_t* bytes, size_t count, int bits, uint64_t* codes) {
  const size_t size = packed_bytes(count, bits);
  for (size_t i = 0, position = 0; i < count; ++i, position += bits) {
    const size_t left = size - position / 8;
    if (left >= 9) {
      codes[i] = read_code(bytes, position, bits);
    } else {
      uint8_t last[9] = {};
      std::memcpy(last, bytes + position / 8, left);
      codes[i] = read_code(last, position % 8, bits);
    }
  }
}

}  // namespace pyramidion
