// The first-order Reed-Muller code RM(1,4): the residues mod 2 that points of the Barnes-Wall lattice have.
#pragma once

#include <cstdint>

namespace pyramidion {

constexpr int reed_muller_words = 32;

// Bit i of word 2a + b is parity(a & i) xor b, for a, i = 0..15 and b = 0, 1: word 0 is all zeros, word 1 all ones, and
// the 30 others have eight ones.
struct ReedMuller {
  uint32_t word[reed_muller_words] = {};

  constexpr ReedMuller() {
    for (int number = 0; number < reed_muller_words; ++number) {
      for (int i = 0; i < 16; ++i) {
        word[number] |= static_cast<uint32_t>((__builtin_popcount(number / 2 & i) + number) & 1) << i;
      }
    }
  }
};

inline constexpr ReedMuller reed_muller;

// The number of a word, or -1 for 16 bits that are none.
constexpr int reed_muller_number(uint32_t word) {
  const uint32_t b = word & 1;
  uint32_t a = 0;
  for (int k = 0; k < 4; ++k) a |= ((word >> (1 << k) & 1) ^ b) << k;
  const int number = static_cast<int>(2 * a + b);
  return reed_muller.word[number] == word ? number : -1;
}

}  // namespace pyramidion
