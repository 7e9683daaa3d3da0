// What an encoder asks of a group: the number of the point that suits it best, and how long the group is along it. This
// is the scalar reference; native/cpu/pvq_search finds the same bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/pvq/point_index.h"
#include "core/pvq/pyramid_search.h"

namespace pyramidion {

// groups, pyramid: as search_points has them; index: of that pyramid. For each group w with the point p found for it,
// indices: that of p; projections: <w, p/||p||>.
using FindPoints = void (*)(const float* groups, size_t count, const Pyramid& pyramid, const PointIndex& index,
                            uint64_t* indices, double* projections);

void find_points(const float* groups, size_t count, const Pyramid& pyramid, const PointIndex& index, uint64_t* indices,
                 double* projections);

// The same with a search of one's own, for as many groups at a time as it likes.
void find_points_by(SearchPoints search, const float* groups, size_t count, const Pyramid& pyramid,
                    const PointIndex& index, uint64_t* indices, double* projections);

}  // namespace pyramidion
