// The pyramid search, 16 groups at a time.
#define PYRAMIDION_LANES 16
#include "cpu/pvq_search/lanes.h"

namespace pyramidion {

void pvq_search_avx512(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points) {
  search_with_lanes(groups, count, pyramid, points);
}

}  // namespace pyramidion
