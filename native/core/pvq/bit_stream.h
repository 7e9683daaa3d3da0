// The little-endian bit stream of codes: bit 0 of the first code is bit 0 of the first byte, codes follow each other
// without gaps, and the bits after the last one are zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pyramidion {

// Bytes that `count` codes of `bits` bits take.
inline size_t packed_bytes(size_t count, int bits) { return (count * static_cast<size_t>(bits) + 7) / 8; }

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "codes are read as little-endian words");

// The code of `bits` bits that starts `position` bits into the stream. Nine bytes from where it starts must be
// readable.
inline uint64_t read_code(const uint8_t* bytes, size_t position, int bits) {
  const int shift = static_cast<int>(position % 8);
  uint64_t word;
  std::memcpy(&word, bytes + position / 8, sizeof(word));
  word >>= shift;
  if (shift + bits > 64) word |= static_cast<uint64_t>(bytes[position / 8 + 8]) << (64 - shift);
  return word & ~uint64_t{0} >> (64 - bits);
}

// Writes packed_bytes(count, bits) bytes. bits: 1..64; every code must be below 2^bits.
void pack_codes(const uint64_t* codes, size_t count, int bits, uint8_t* bytes);

// Reads packed_bytes(count, bits) bytes and none beyond them.
void unpack_codes(const uint8_t* bytes, size_t count, int bits, uint64_t* codes);

}  // namespace pyramidion
