// Decoding of PVQ rows into pulses and levels, in the fastest form this processor runs.
#pragma once

#include <vector>

#include "core/pvq/pvq_code.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

// The code with level l = l, so that what looks a level up finds its number.
PvqCode with_numbered_levels(PvqCode code);

// What integer products and the memory layout `expanded` are made from, in the order of core/pvq/integer_tokens.h.
struct PvqPulsesKernel {
  InstructionSet instruction_set;
  bool (*supports)(const PvqCode& code);
  // code: with numbered levels. codes: where the segment starts in the row, pvq_read_ahead bytes readable beyond its
  // end; at most 127 pulses and 2^16 levels. pulses: 64-byte aligned, p + 128 of blocks x quads x 16 x 4 coordinates;
  // levels: blocks x 16. Groups beyond the row stay as they are or get pulses and a level of the code.
  void (*decode)(const PvqCode& code, const uint8_t* codes, uint8_t* pulses, uint16_t* levels);
};

// Best first; the last one runs everywhere and supports every such code.
const std::vector<PvqPulsesKernel>& pvq_pulses_kernels();

// The first of them that `set` covers and that supports the code.
const PvqPulsesKernel& pvq_pulses_kernel(const PvqCode& code, InstructionSet set = instruction_set());

}  // namespace pyramidion
