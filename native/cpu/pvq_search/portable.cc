// The pyramid search, 4 groups at a time: for any processor.
#define PYRAMIDION_LANES 4
#include "cpu/pvq_search/dispatch.h"
#include "cpu/pvq_search/find_lanes.h"

namespace pyramidion {

extern const PvqSearchKernel pvq_search_portable;
const PvqSearchKernel pvq_search_portable = {InstructionSet::portable, search_with_lanes, find_with_lanes};

}  // namespace pyramidion
