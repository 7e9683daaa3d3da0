// The instruction sets that tests go through.
#pragma once

#include <vector>

#include "cpu/instruction_set.h"

// Those of this processor, portable first.
inline std::vector<pyramidion::InstructionSet> present_sets() {
  std::vector<pyramidion::InstructionSet> sets;
  for (pyramidion::InstructionSet set : pyramidion::instruction_sets) {
    if (set <= pyramidion::supported_instruction_set()) sets.push_back(set);
  }
  return sets;
}
