#include "core/pvq/point_finder.h"

#include <algorithm>
#include <cmath>

#include "core/pvq/pyramid_counts.h"

namespace pyramidion {
namespace {

double projection(const float* w, const int16_t* p, int dimension) {
  // Even and odd coordinates apart, in the order that the kernels have.
  double wp[2] = {};
  int32_t pp = 0;
  for (int i = 0; i < dimension; ++i) {
    wp[i % 2] += static_cast<double>(w[i]) * p[i];
    pp += p[i] * p[i];
  }
  return (wp[0] + wp[1]) / std::sqrt(static_cast<double>(pp));
}

}  // namespace

void find_points(const float* groups, size_t count, const Pyramid& pyramid, const PointIndex& index, uint64_t* indices,
                 double* projections) {
  find_points_by(search_points, groups, count, pyramid, index, indices, projections);
}

void find_points_by(SearchPoints search, const float* groups, size_t count, const Pyramid& pyramid,
                    const PointIndex& index, uint64_t* indices, double* projections) {
  constexpr size_t block = 64;
  int16_t points[block * PyramidCounts::max_dimension];
  for (size_t first = 0; first < count; first += block) {
    const size_t end = std::min(count, first + block);
    const float* w = groups + first * pyramid.dimension;
    search(w, end - first, pyramid, points);
    const int16_t* p = points;
    for (size_t g = first; g < end; ++g, w += pyramid.dimension, p += pyramid.dimension) {
      indices[g] = index.index_of(p);
      projections[g] = projection(w, p, pyramid.dimension);
    }
  }
}

}  // namespace pyramidion
