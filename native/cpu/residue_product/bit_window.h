// A stream of bits, some tens of them at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pyramidion {
namespace {

class BitWindow {
 public:
  explicit BitWindow(const uint8_t* bytes) : bytes_(bytes) {}

  // The next `peeked` bits at least.
  static constexpr unsigned peeked = 57;
  uint64_t peek() const { return word(0) >> (position_ & 7); }
  // The next 64.
  uint64_t peek_all() const {
    // In two steps, because a shift by 64 is none.
    return peek() | word(8) << 1 << (63 - (position_ & 7));
  }
  void skip(uint64_t bits) { position_ += bits; }
  // The byte that the next bit is in, and which of it.
  const uint8_t* at() const { return bytes_ + (position_ >> 3); }
  int bit_in_byte() const { return static_cast<int>(position_ & 7); }

 private:
  uint64_t word(size_t offset) const {
    uint64_t bits;
    std::memcpy(&bits, at() + offset, sizeof(bits));
    return bits;
  }

  const uint8_t* bytes_;
  uint64_t position_ = 0;
};

}  // namespace
}  // namespace pyramidion
