// Calibrated rounding of `lanes` rows at once, written once with the compilers' vector types and compiled for each
// instruction set; every set does the same operations in the same order and returns the same points.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include "cpu/guided_rounding/coupling_lanes.h"
#include "cpu/guided_rounding/dispatch.h"
#include "cpu/guided_rounding/group_lanes.h"

namespace pyramidion {
namespace {

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

// A group of `lanes` rows.
struct GroupState {
  // D x lanes.
  const float* targets;
  float* differences;
  const Floats* accumulators;
  Floats scales;
  int16_t* points;
  // lanes.
  uint16_t* levels;
};

// Returns the lanes whose code changed; change: by how much the differences did, zero in the others.
template <int D, Lattice L>
Integers round_group(const GuidedGroup& group, int moves, bool start, const GroupState& state, Floats* change) {
  Floats w[D], d[D], aim[D];
  for (int i = 0; i < D; ++i) {
    w[i] = load_lanes(state.targets + i * lanes);
    d[i] = load_lanes(state.differences + i * lanes);
  }
  multiply<D>(state.accumulators, group.inverse, aim);
  for (int i = 0; i < D; ++i) aim[i] += w[i] - d[i];

  GuidedLanes<D, L> search(group, aim, state.scales);
  if (start) {
    search.start_at_search(aim);
  } else {
    search.start_at(state.points);
    if constexpr (L == Lattice::barnes_wall) search.try_other_words();
  }
  Integers moving = Integers{} == 0;
  for (int move = 0; move < moves && any(moving); ++move) moving = search.move_best_pulse(moving);

  Integers changed = Integers{} - static_cast<int32_t>(start);
  for (int lane = 0; lane < lanes; ++lane) {
    for (int i = 0; i < D; ++i) {
      const auto pulses = static_cast<int16_t>(search.unit_of_points * search.p[i][lane]);
      if (state.points[i * lanes + lane] != pulses) changed[lane] = -1;
      state.points[i * lanes + lane] = pulses;
    }
    const auto level = static_cast<uint16_t>(search.level_index[lane]);
    if (state.levels[lane] != level) changed[lane] = -1;
    state.levels[lane] = level;
  }
  for (int i = 0; i < D; ++i) {
    const Floats difference = changed ? w[i] - search.multiplier * search.p[i] : d[i];
    change[i] = difference - d[i];
    store_lanes(state.differences + i * lanes, difference);
  }
  return changed;
}

// Calls action(Shape) with the group's.
template <class Action>
void with_shape(const Pyramid& pyramid, const Action& action) {
  if (pyramid.lattice == Lattice::barnes_wall) return action(Shape<16, Lattice::barnes_wall>{});
  switch (pyramid.dimension) {
    case 2:
      return action(Shape<2, Lattice::integer>{});
    case 4:
      return action(Shape<4, Lattice::integer>{});
    case 8:
      return action(Shape<8, Lattice::integer>{});
    case 16:
      return action(Shape<16, Lattice::integer>{});
    case 32:
      return action(Shape<32, Lattice::integer>{});
  }
}

// Columns of a batch: groups that are rounded before others hear of it.
constexpr size_t batch_columns = 64;

// Rounds the groups of a batch one after another, each for `lanes` rows from `row` on, and passes changes on inside the
// batch. values: changes of the batch's columns, a row every `stride` floats; changed_rows: for each group of the batch,
// where rows are appended.
void round_batch(const Span& batch, size_t group_count, size_t row, int moves, bool start, const GuidedRows& rows,
                 float* values, size_t stride, std::vector<uint32_t>* changed_rows) {
  Floats sums[batch_columns];
  float* accumulators = rows.accumulators + row * rows.columns + batch.first_column;
  for (size_t column = 0; column < batch.columns; ++column) {
    for (int lane = 0; lane < lanes; ++lane) sums[column][lane] = accumulators[lane * rows.columns + column];
  }

  size_t column = 0;
  for (size_t g = 0; g < batch.count; ++g) {
    const GuidedGroup& group = batch.groups[g];
    with_shape(group.pyramid, [&](auto shape) {
      constexpr int d = shape.dimension;
      const size_t place = row * rows.columns + (batch.first_column + column) * lanes;
      Floats change[d];
      const Integers changed = round_group<d, shape.lattice>(
          group, moves, start,
          {rows.targets + place, rows.differences + place, sums + column, load_lanes(rows.scales + row),
           rows.points + place, rows.levels + row * group_count + (batch.first_group + g) * lanes},
          change);
      if (any(changed)) {
        const size_t end = std::min(batch.last_column(), group.first_coupled + group.coupled_columns);
        for (size_t to = std::max(batch.first_column, group.first_coupled); to < end; ++to) {
          const float* coupling = group.coupling + (to - group.first_coupled);
          Floats sum = sums[to - batch.first_column];
          for (int i = 0; i < d; ++i) sum = multiply_add(change[i], coupling[i * group.coupling_stride], sum);
          sums[to - batch.first_column] = sum;
        }
        for (int lane = 0; lane < lanes; ++lane) {
          if (changed[lane] == 0) continue;
          changed_rows[g].push_back(static_cast<uint32_t>(row + lane));
          for (int i = 0; i < d; ++i) values[(row + lane) * stride + column + i] = change[i][lane];
        }
      }
      column += d;
    });
  }
  for (size_t i = 0; i < batch.columns; ++i) {
    for (int lane = 0; lane < lanes; ++lane) accumulators[lane * rows.columns + i] = sums[i][lane];
  }
}

void sweep_groups(const GuidedGroup* groups, size_t group_count, int moves, bool start, const GuidedRows& rows) {
  std::vector<float> values(rows.count * block_columns);
  std::vector<std::vector<uint32_t>> changed_rows(block_columns / 2);
  const Accumulators accumulators{rows.accumulators, rows.columns};
  span_of(groups, group_count).for_each_part(block_columns, [&](const Span& block) {
    for (std::vector<uint32_t>& changed : changed_rows) changed.clear();
    const Changes changes{values.data(), rows.count, block_columns, start ? nullptr : changed_rows.data()};
    block.for_each_part(batch_columns, [&](const Span& batch) {
      const size_t column = batch.first_column - block.first_column, group = batch.first_group - block.first_group;
      for (size_t row = 0; row < rows.count; row += lanes) {
        round_batch(batch, group_count, row, moves, start, rows, values.data() + column, block_columns,
                    changed_rows.data() + group);
      }
      couple_range(batch, changes.from(column, group), block.first_column, batch.first_column, accumulators);
      couple_range(batch, changes.from(column, group), batch.last_column(), block.last_column(), accumulators);
    });
    couple_range(block, changes, 0, block.first_column, accumulators);
    couple_range(block, changes, block.last_column(), rows.columns, accumulators);
  });
}

}  // namespace
}  // namespace pyramidion
