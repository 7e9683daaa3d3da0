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
  const uint64_t mask = ~uint64_t{0} >> (64 - bits);
  unsigned __int128 pending = 0;
  int held = 0;
  for (size_t i = 0; i < count; ++i) {
    for (; held < bits; held += 8) pending |= static_cast<unsigned __int128>(*bytes++) << held;
    codes[i] = static_cast<uint64_t>(pending) & mask;
    pending >>= bits;
    held -= bits;
  }
}

}  // namespace pyramidion
