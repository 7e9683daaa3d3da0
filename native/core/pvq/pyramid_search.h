// The pyramid search: for a group w of D weights, the point p of a pyramid that maximises <w,p> / ||p|| (Fischer 1986,
// with the greedy correction and swaps of design section 3). This is the scalar reference; native/cpu/pvq_search runs
// the same operations on many groups at once and returns the same points bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/pvq/pyramid.h"

namespace pyramidion {

// groups: count x D finite values, any scale; pyramid: D = 2, 4, 8, 16 or 32 and K = 1..32767, or as BarnesWallIndex
// has it with K >= 8; points: count x D. A group of zeros is searched as (0, ..., 0, 1).
void search_points(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points);

// Like search_points, which is one.
using SearchPoints = void (*)(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points);

}  // namespace pyramidion
