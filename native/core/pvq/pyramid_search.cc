#include "core/pvq/pyramid_search.h"

#include <cmath>

#include "core/pvq/barnes_wall_search.h"
#include "core/pvq/pulse_group.h"

namespace pyramidion {
namespace {

void search_point(const float* w, int dimension, int pulses, int16_t* point) {
  float a[PyramidCounts::max_dimension];
  scale_magnitudes(w, dimension, static_cast<float>(pulses), a);
  PulseGroup group;
  group.dimension = dimension;
  for (int i = 0; i < dimension; ++i) group.place(i, a[i], static_cast<float>(static_cast<int32_t>(a[i] + 0.5f)));
  group.correct(static_cast<float>(pulses));
  group.swap_pulses();
  for (int i = 0; i < dimension; ++i) {
    const int16_t q = static_cast<int16_t>(group.q[i]);
    point[i] = w[i] < 0 ? static_cast<int16_t>(-q) : q;
  }
}

}  // namespace

void scale_magnitudes(const float* w, int dimension, float sum, float* magnitudes) {
  // Dividing by the largest first keeps the sum clear of overflow and of denormals.
  float largest = 0, total = 0;
  for (int i = 0; i < dimension; ++i) {
    magnitudes[i] = std::fabs(w[i]);
    largest = magnitudes[i] > largest ? magnitudes[i] : largest;
  }
  if (largest == 0) largest = magnitudes[dimension - 1] = 1;
  for (int i = 0; i < dimension; ++i) total += magnitudes[i] = magnitudes[i] / largest;
  const float scale = sum / total;
  for (int i = 0; i < dimension; ++i) magnitudes[i] *= scale;
}

void search_points(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points) {
  const int dimension = pyramid.dimension;
  for (size_t g = 0; g < count; ++g) {
    const float* group = groups + g * dimension;
    int16_t* point = points + g * dimension;
    if (pyramid.lattice == Lattice::barnes_wall) {
      search_barnes_wall(group, pyramid.pulses, point);
    } else {
      search_point(group, dimension, pyramid.pulses, point);
    }
  }
}

}  // namespace pyramidion
