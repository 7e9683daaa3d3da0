// The pyramid search, 8 groups at a time.
#define PYRAMIDION_LANES 8
#include "cpu/pvq_search/dispatch.h"
#include "cpu/pvq_search/find_lanes.h"

namespace pyramidion {

extern const PvqSearchKernel pvq_search_avx2;
const PvqSearchKernel pvq_search_avx2 = {InstructionSet::avx2, search_with_lanes, find_with_lanes};

}  // namespace pyramidion
