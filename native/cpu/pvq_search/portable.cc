// The pyramid search, 4 groups at a time: for any processor.
#define PYRAMIDION_LANES 4
#include "cpu/pvq_search/lanes.h"

namespace pyramidion {

void pvq_search_portable(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points) {
  search_with_lanes(groups, count, pyramid, points);
}

}  // namespace pyramidion
