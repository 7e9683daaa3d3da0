// The pyramid search of core/pvq/pyramid_search.h on many groups at once, one group a lane.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include "core/pvq/pyramid.h"
#include "cpu/pvq_search/barnes_wall_lanes.h"
#include "cpu/pvq_search/pulse_lanes.h"
#include "cpu/transpose_lanes.h"

namespace pyramidion {
namespace {

// w: a group a lane; the point of each, as floats.
template <int D>
void search_integer(const Floats* w, int pulses, Floats* point) {
  Floats a[D];
  scale_magnitudes<D>(w, static_cast<float>(pulses), a);
  Groups<D> group;
  for (int i = 0; i < D; ++i) group.place(i, a[i], whole(a[i]));
  group.correct(static_cast<float>(pulses));
  group.swap_pulses();
  for (int i = 0; i < D; ++i) point[i] = w[i] < 0 ? -group.q[i] : group.q[i];
}

// groups, points: `lanes` groups of D, one after the other. search(w, point) finds the points.
template <int D, class Search>
void search_lanes(const float* groups, int16_t* points, const Search& search) {
  Floats w[D], point[D];
  memcpy(w, groups, sizeof(w));
  groups_to_lanes<D>(w);
  search(w, point);
  lanes_to_groups<D>(point);
  for (int i = 0; i < D; ++i) {
    const Shorts p = __builtin_convertvector(__builtin_convertvector(point[i], Integers), Shorts);
    memcpy(points + i * lanes, &p, sizeof(p));
  }
}

template <int D, class Search>
void search_all(const float* groups, size_t count, int16_t* points, const Search& search) {
  size_t g = 0;
  for (; g + lanes <= count; g += lanes) search_lanes<D>(groups + g * D, points + g * D, search);
  if (g == count) return;
  float last_groups[lanes * D] = {};
  int16_t last_points[lanes * D];
  memcpy(last_groups, groups + g * D, (count - g) * D * sizeof(float));
  search_lanes<D>(last_groups, last_points, search);
  memcpy(points + g * D, last_points, (count - g) * D * sizeof(int16_t));
}

template <int D>
void search_all(const float* groups, size_t count, int pulses, int16_t* points) {
  search_all<D>(groups, count, points, [=](const Floats* w, Floats* point) { search_integer<D>(w, pulses, point); });
}

[[maybe_unused]] void search_with_lanes(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points) {
  const int pulses = pyramid.pulses;
  if (pyramid.lattice == Lattice::barnes_wall) {
    return search_all<16>(groups, count, points,
                          [=](const Floats* w, Floats* point) { search_barnes_wall(w, pulses, point); });
  }
  switch (pyramid.dimension) {
    case 2:
      return search_all<2>(groups, count, pulses, points);
    case 4:
      return search_all<4>(groups, count, pulses, points);
    case 8:
      return search_all<8>(groups, count, pulses, points);
    case 16:
      return search_all<16>(groups, count, pulses, points);
    case 32:
      return search_all<32>(groups, count, pulses, points);
  }
}

}  // namespace
}  // namespace pyramidion
