// The pyramid search, 4 groups at a time, with NEON's conversions and square roots of doubles.
#define PYRAMIDION_LANES 4
#define PYRAMIDION_NEON
#include "cpu/pvq_search/dispatch.h"
#include "cpu/pvq_search/find_lanes.h"

namespace pyramidion {

extern const PvqSearchKernel pvq_search_neon;
const PvqSearchKernel pvq_search_neon = {InstructionSet::neon, search_with_lanes, find_with_lanes};

}  // namespace pyramidion
