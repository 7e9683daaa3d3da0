// The little-endian bit stream of codes: bit 0 of the first code is bit 0 of the first byte, codes follow each other
// without gaps, and the bits after the last one are zero.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyramidion {

// Bytes that `count` codes of `bits` bits take.
inline size_t packed_bytes(size_t count, int bits) { return (count * static_cast<size_t>(bits) + 7) / 8; }

// Writes packed_bytes(count, bits) bytes. bits: 1..64; every code must be below 2^bits.
void pack_codes(const uint64_t* codes, size_t count, int bits, uint8_t* bytes);

// Reads packed_bytes(count, bits) bytes and none beyond them.
void unpack_codes(const uint8_t* bytes, size_t count, int bits, uint64_t* codes);

}  // namespace pyramidion
