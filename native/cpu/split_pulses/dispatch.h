// Decoding of split rows (core/pvq/split_rows.h) into pulses and levels, in the fastest form this processor runs.
#pragma once

#include <vector>

#include "core/pvq/split_rows.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

struct SplitPulsesKernel {
  InstructionSet instruction_set;
  // Into what PvqPulsesKernel::decode makes.
  void (*decode)(const SplitRows& rows, size_t row, uint8_t* pulses, uint16_t* levels);
};

// Best first; the last one runs everywhere.
const std::vector<SplitPulsesKernel>& split_pulses_kernels();

// The first of them that `set` covers.
const SplitPulsesKernel& split_pulses_kernel(InstructionSet set = instruction_set());

}  // namespace pyramidion
