// The pyramid search, 8 groups at a time.
#define PYRAMIDION_LANES 8
#include "cpu/pvq_search/lanes.h"

namespace pyramidion {

void pvq_search_avx2(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points) {
  search_with_lanes(groups, count, pyramid, points);
}

}  // namespace pyramidion
