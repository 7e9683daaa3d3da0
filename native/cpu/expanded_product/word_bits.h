// What turns half pulses of the Barnes-Wall lattice into pulses.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <cstdint>

#include "core/pvq/reed_muller.h"

namespace pyramidion {
namespace {

// The bits of each word of the Reed-Muller code as bytes, four coordinates at a time.
struct WordBits {
  alignas(64) uint32_t quads[4][reed_muller_words];

  WordBits() {
    for (int q = 0; q < 4; ++q) {
      for (int w = 0; w < reed_muller_words; ++w) {
        const uint32_t nibble = reed_muller.word[w] >> (4 * q) & 15;
        quads[q][w] = (nibble & 1) | (nibble & 2) << 7 | (nibble & 4) << 14 | (nibble & 8) << 21;
      }
    }
  }
};

}  // namespace
}  // namespace pyramidion
