// What core/pvq/point_finder.h finds, for many groups at once, one group a lane: points are numbered and projected on
// while they are in registers.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include "core/pvq/point_finder.h"
#include "core/pvq/pyramid_counts.h"
#include "cpu/pvq_search/lanes.h"

#if PYRAMIDION_LANES == 16
// A false alarm of GCC 12 in its own intrinsics.
#pragma GCC diagnostic ignored "-Wuninitialized"
#elif defined(PYRAMIDION_NEON)
#include <arm_neon.h>
#endif

namespace pyramidion {
namespace {

// Doubles take two vectors.
constexpr int half_lanes = lanes / 2;
typedef float HalfFloats __attribute__((vector_size(4 * half_lanes)));
typedef double Doubles __attribute__((vector_size(8 * half_lanes)));

// With more pulses, squared norms would not be exact as floats, nor indices of four coordinates fit 32 bits.
constexpr int most_numbered_pulses = 1000;

inline Doubles doubles_of(const Floats& x, int half) {
  HalfFloats part;
  memcpy(&part, reinterpret_cast<const char*>(&x) + half * sizeof(part), sizeof(part));
#if defined(PYRAMIDION_NEON)
  // GCC 12 would convert lane by lane.
  return vcvt_f64_f32(part);
#else
  return __builtin_convertvector(part, Doubles);
#endif
}

// Rounded the same everywhere.
inline Doubles square_root(const Doubles& x) {
#if PYRAMIDION_LANES == 16
  return Doubles(_mm512_sqrt_pd(x));
#elif PYRAMIDION_LANES == 8
  return Doubles(_mm256_sqrt_pd(x));
#elif defined(PYRAMIDION_NEON)
  return vsqrtq_f64(x);
#else
  Doubles root;
  for (int lane = 0; lane < half_lanes; ++lane) root[lane] = __builtin_sqrt(x[lane]);
  return root;
#endif
}

template <int D>
void project(const Floats* w, const Floats* p, double* projections) {
  Floats pp = {};
  for (int i = 0; i < D; ++i) pp += p[i] * p[i];
  for (int half = 0; half < 2; ++half) {
    // Even and odd coordinates apart.
    Doubles wp[2] = {};
    for (int i = 0; i < D; ++i) wp[i % 2] += doubles_of(w[i], half) * doubles_of(p[i], half);
    const Doubles projection = (wp[0] + wp[1]) / square_root(doubles_of(pp, half));
    memcpy(projections + half * half_lanes, &projection, sizeof(projection));
  }
}

// The nodes of two and four coordinates of PyramidCounts::index_of_tree.
typedef uint32_t Words __attribute__((vector_size(4 * lanes)));
struct Node {
  Words index, pulses;
};

inline Node pair_node(const Integers& left, const Integers& right) {
  const Integers j = left < 0 ? -left : left, rest = right < 0 ? -right : right;
  const Integers second = ((left < 0) & 1) << ((rest != 0) & 1);
  return {Words(4 * j - ((j != 0) & 2) + second + ((right < 0) & 1)), Words(j + rest)};
}

inline Node quad_node(const Integers& a, const Integers& b, const Integers& c, const Integers& d) {
  const Node left = pair_node(a, b), right = pair_node(c, d);
  const Words j = left.pulses, rest = right.pulses, all = j + rest;
  // The division by 3 is exact, so a product with its inverse modulo 2^32.
  const Words beyond = 8 * j * (j - 1) * (3 * all - 2 * j + 1) * 0xaaaaaaabu;
  const Words offset = (4 * all + beyond) & Words(j != 0);
  return {offset + left.index * (4 * rest + (Words(rest == 0) & 1)) + right.index, all};
}

// groups: `lanes` groups of D.
template <int D>
void find_lanes(const float* groups, int pulses, const PyramidCounts& counts, uint64_t* indices, double* projections) {
  Floats w[D], point[D];
  memcpy(w, groups, sizeof(w));
  groups_to_lanes<D>(w);
  search_integer<D>(w, pulses, point);
  project<D>(w, point, projections);
  uint32_t quad_indices[D / 4][lanes], quad_pulses[D / 4][lanes];
  for (int quad = 0; quad < D / 4; ++quad) {
    Integers p[4];
    for (int i = 0; i < 4; ++i) p[i] = __builtin_convertvector(point[4 * quad + i], Integers);
    const Node node = quad_node(p[0], p[1], p[2], p[3]);
    memcpy(quad_indices[quad], &node.index, sizeof(node.index));
    memcpy(quad_pulses[quad], &node.pulses, sizeof(node.pulses));
  }
  counts.index_of_quads(quad_indices[0], quad_pulses[0], lanes, indices);
}

template <int D>
void find_all(const float* groups, size_t count, int pulses, const PyramidCounts& counts, uint64_t* indices,
              double* projections) {
  size_t g = 0;
  for (; g + lanes <= count; g += lanes) {
    find_lanes<D>(groups + g * D, pulses, counts, indices + g, projections + g);
  }
  if (g == count) return;
  float last_groups[lanes * D] = {};
  uint64_t last_indices[lanes];
  double last_projections[lanes];
  memcpy(last_groups, groups + g * D, (count - g) * D * sizeof(float));
  find_lanes<D>(last_groups, pulses, counts, last_indices, last_projections);
  memcpy(indices + g, last_indices, (count - g) * sizeof(uint64_t));
  memcpy(projections + g, last_projections, (count - g) * sizeof(double));
}

[[maybe_unused]] void find_with_lanes(const float* groups, size_t count, const Pyramid& pyramid,
                                      const PointIndex& index, uint64_t* indices, double* projections) {
  const int d = pyramid.dimension, pulses = pyramid.pulses;
  if (pyramid.lattice == Lattice::barnes_wall || d < 4 || pulses > most_numbered_pulses) {
    return find_points_by(search_with_lanes, groups, count, pyramid, index, indices, projections);
  }
  const auto& counts = static_cast<const PyramidCounts&>(index);
  switch (d) {
    case 4:
      return find_all<4>(groups, count, pulses, counts, indices, projections);
    case 8:
      return find_all<8>(groups, count, pulses, counts, indices, projections);
    case 16:
      return find_all<16>(groups, count, pulses, counts, indices, projections);
    case 32:
      return find_all<32>(groups, count, pulses, counts, indices, projections);
  }
}

}  // namespace
}  // namespace pyramidion
