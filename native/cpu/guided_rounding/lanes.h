// Calibrated rounding of `lanes` rows at once, written once with the compilers' vector types and compiled for each
// instruction set; every set does the same operations in the same order and returns the same points.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include "cpu/guided_rounding/dispatch.h"
#include "cpu/guided_rounding/group_lanes.h"

namespace pyramidion {
namespace {

inline Floats load_lanes(const float* from) {
  Floats vector;
  memcpy(&vector, from, sizeof(vector));
  return vector;
}

inline void store_lanes(float* to, const Floats& vector) { memcpy(to, &vector, sizeof(vector)); }

// What groups are compiled for.
template <int D, Lattice L>
struct Shape {
  static constexpr int dimension = D;
  static constexpr Lattice lattice = L;
};

// A row vector times a D x D matrix.
template <int D>
void multiply(const Floats* row, const float* matrix, Floats* product) {
  for (int j = 0; j < D; ++j) {
    Floats sum = {};
    for (int i = 0; i < D; ++i) sum = multiply_add(row[i], matrix[i * D + j], sum);
    product[j] = sum;
  }
}

template <int D>
void couple(const GuidedGroup& group, const Floats* change, float* accumulators) {
  accumulators += group.first_coupled * lanes;
  for (size_t column = 0; column < group.coupled_columns; ++column) {
    Floats sum = load_lanes(accumulators + column * lanes);
    for (int i = 0; i < D; ++i) {
      sum = multiply_add(change[i], group.coupling[i * group.coupling_stride + column], sum);
    }
    store_lanes(accumulators + column * lanes, sum);
  }
}

// Rounds the group that starts at column `first` and is number `number`.
template <int D, Lattice L>
void round_group(const GuidedGroup& group, size_t number, size_t first, int moves, bool start, const GuidedRows& rows) {
  Floats w[D], d[D], a[D], aim[D];
  for (int i = 0; i < D; ++i) {
    w[i] = load_lanes(rows.targets + (first + i) * lanes);
    d[i] = load_lanes(rows.differences + (first + i) * lanes);
    a[i] = load_lanes(rows.accumulators + (first + i) * lanes);
  }
  multiply<D>(a, group.inverse, aim);
  for (int i = 0; i < D; ++i) aim[i] += w[i] - d[i];

  int16_t* points = rows.points + first * lanes;
  GuidedLanes<D, L> search(group, aim, load_lanes(rows.scales));
  if (start) {
    search.start_at_search(aim);
  } else {
    search.start_at(points);
    if constexpr (L == Lattice::barnes_wall) search.try_other_words();
  }
  Integers moving = Integers{} == 0;
  for (int move = 0; move < moves && any(moving); ++move) moving = search.move_best_pulse(moving);

  Floats change[D];
  for (int i = 0; i < D; ++i) {
    const Floats difference = w[i] - search.multiplier * search.p[i];
    change[i] = difference - d[i];
    store_lanes(rows.differences + (first + i) * lanes, difference);
  }
  couple<D>(group, change, rows.accumulators);
  for (int lane = 0; lane < lanes; ++lane) {
    for (int i = 0; i < D; ++i) {
      points[i * lanes + lane] = static_cast<int16_t>(search.unit_of_points * search.p[i][lane]);
    }
    rows.levels[number * lanes + lane] = static_cast<uint16_t>(search.level_index[lane]);
  }
}

// Calls action(Shape, group, its number, its first column) for every group.
template <class Action>
void for_each_group(const GuidedGroup* groups, size_t group_count, const Action& action) {
  size_t first = 0;
  for (size_t g = 0; g < group_count; ++g) {
    const auto act = [&](auto shape) { action(shape, groups[g], g, first); };
    const Pyramid& pyramid = groups[g].pyramid;
    if (pyramid.lattice == Lattice::barnes_wall) {
      act(Shape<16, Lattice::barnes_wall>{});
    } else {
      switch (pyramid.dimension) {
        case 2:
          act(Shape<2, Lattice::integer>{});
          break;
        case 4:
          act(Shape<4, Lattice::integer>{});
          break;
        case 8:
          act(Shape<8, Lattice::integer>{});
          break;
        case 16:
          act(Shape<16, Lattice::integer>{});
          break;
        case 32:
          act(Shape<32, Lattice::integer>{});
          break;
      }
    }
    first += pyramid.dimension;
  }
}

void sweep_groups(const GuidedGroup* groups, size_t group_count, int moves, bool start, const GuidedRows& rows) {
  for_each_group(groups, group_count, [&](auto shape, const GuidedGroup& group, size_t number, size_t first) {
    round_group<shape.dimension, shape.lattice>(group, number, first, moves, start, rows);
  });
}

void accumulate_groups(const GuidedGroup* groups, size_t group_count, const float* differences, float* accumulators) {
  for_each_group(groups, group_count, [&](auto shape, const GuidedGroup& group, size_t, size_t first) {
    Floats change[shape.dimension];
    for (int i = 0; i < shape.dimension; ++i) change[i] = load_lanes(differences + (first + i) * lanes);
    couple<shape.dimension>(group, change, accumulators);
  });
}

}  // namespace
}  // namespace pyramidion
