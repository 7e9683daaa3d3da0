// The pyramid search, 16 groups at a time.
#define PYRAMIDION_LANES 16
#include "cpu/pvq_search/dispatch.h"
#include "cpu/pvq_search/find_lanes.h"

namespace pyramidion {

extern const PvqSearchKernel pvq_search_avx512;
const PvqSearchKernel pvq_search_avx512 = {InstructionSet::avx512, search_with_lanes, find_with_lanes};

}  // namespace pyramidion
