// The pyramid search on groups, in the fastest form this processor runs. All forms return the points of
// core/pvq/pyramid_search.h and point_finder.h bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/pvq/point_finder.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

struct PvqSearchKernel {
  InstructionSet instruction_set;
  SearchPoints search;
  FindPoints find;
};

// Best first; the last one runs everywhere.
const std::vector<PvqSearchKernel>& pvq_search_kernels();

// The first of them that `set` covers.
const PvqSearchKernel& pvq_search_kernel(InstructionSet set = instruction_set());

}  // namespace pyramidion
