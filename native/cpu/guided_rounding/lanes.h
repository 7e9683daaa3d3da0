// Calibrated rounding of `lanes` rows at once, written once with the compilers' vector types and compiled for each
// instruction set; every set does the same operations in the same order and returns the same points.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include "cpu/guided_rounding/coupling_lanes.h"
#include "cpu/guided_rounding/dispatch.h"
#include "cpu/guided_rounding/group_lanes.h"
#include "cpu/transpose_lanes.h"

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

// Vectors of rows that are rounded together: so many that lanes still in motion fill vectors of their own, so few that
// all of it stays in the first-level cache.
constexpr int most_vectors = 4;

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

// Moves pulses in all of them until no lane gains or `moves` are done. Lanes that are done leave, and what is left
// closes up: most lanes are done at once, few take many moves.
template <int D, Lattice L>
void move_pulses(GuidedLanes<D, L>* search, int count, int moves) {
  GuidedLanes<D, L> moving[most_vectors];
  // Where lanes of `moving` came from.
  int origin[most_vectors * lanes];
  GuidedLanes<D, L>* at = search;
  Integers mask[most_vectors];
  for (Integers& lanes_in_motion : mask) lanes_in_motion = Integers{} == 0;
  int used = count;
  for (int move = 0; move < moves && used > 0; ++move) {
    int left = 0;
    for (int v = 0; v < used; ++v) {
      mask[v] = at[v].move_best_pulse(mask[v]);
      for (int lane = 0; lane < lanes; ++lane) left -= mask[v][lane];
    }
    const int needed = (left + lanes - 1) / lanes;
    if (needed == used) continue;
    int next = 0;
    for (int v = 0; v < used; ++v) {
      for (int lane = 0; lane < lanes; ++lane) {
        const int here = at == search ? v * lanes + lane : origin[v * lanes + lane];
        if (mask[v][lane] == 0) {
          // Lanes that only fill the last vector came from nowhere.
          if (at != search && here >= 0) search[here / lanes].copy_lane(here % lanes, at[v], lane);
          continue;
        }
        moving[next / lanes].copy_lane(next % lanes, at[v], lane);
        origin[next++] = here;
      }
    }
    at = moving;
    used = needed;
    for (int v = 0; v < used; ++v) {
      for (int lane = 0; lane < lanes; ++lane, --left) mask[v][lane] = left > 0 ? -1 : 0;
    }
    // Any state will do there; that of another lane is at hand.
    for (; next < used * lanes; ++next) {
      moving[next / lanes].copy_lane(next % lanes, moving[0], 0);
      origin[next] = -1;
    }
  }
  for (int i = 0; at == moving && i < used * lanes; ++i) {
    if (origin[i] >= 0) search[origin[i] / lanes].copy_lane(origin[i] % lanes, moving[i / lanes], i % lanes);
  }
}

// Stores what was found; returns the lanes whose code changed; change: by how much the differences did, zero in the
// others.
template <int D, Lattice L>
Integers store_group(const GuidedLanes<D, L>& search, bool start, const GroupState& state, Floats* change) {
  Integers changed = Integers{} - static_cast<int32_t>(start);
  const auto store = [&](int16_t* to, const Integers& value) {
    const Integers before = load_shorts(to);
    store_shorts(to, value);
    changed |= before != load_shorts(to);
  };
  for (int i = 0; i < D; ++i) {
    store(state.points + i * lanes, __builtin_convertvector(search.unit_of_points * search.p[i], Integers));
  }
  store(reinterpret_cast<int16_t*>(state.levels), search.level_index);
  for (int i = 0; i < D; ++i) {
    const Floats w = load_lanes(state.targets + i * lanes), d = load_lanes(state.differences + i * lanes);
    const Floats difference = changed ? w - search.multiplier * search.p[i] : d;
    change[i] = difference - d;
    store_lanes(state.differences + i * lanes, difference);
  }
  return changed;
}

// Rounds a group of `count` vectors of rows.
template <int D, Lattice L>
void round_group(const GuidedGroup& group, int moves, bool start, const GroupState* states, int count,
                 GuidedLanes<D, L>* search) {
  for (int v = 0; v < count; ++v) {
    const GroupState& state = states[v];
    Floats aim[D];
    multiply<D>(state.accumulators, group.inverse, aim);
    for (int i = 0; i < D; ++i)
      aim[i] += load_lanes(state.targets + i * lanes) - load_lanes(state.differences + i * lanes);
    search[v].aim_at(group, aim, state.scales);
    if (start) {
      search[v].start_at_search(aim, moves > 0);
    } else {
      search[v].start_at(state.points);
      if constexpr (L == Lattice::barnes_wall) search[v].try_other_words();
    }
  }
  move_pulses(search, count, moves);
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

// Between rows of `stride` floats and a row a lane: sums[column] are those of `column`.
inline void load_sums(const float* rows, size_t stride, size_t columns, Floats* sums) {
  size_t column = 0;
  for (; column + lanes <= columns; column += lanes) {
    for (int lane = 0; lane < lanes; ++lane) sums[column + lane] = load_lanes(rows + lane * stride + column);
    groups_to_lanes<lanes>(sums + column);
  }
  for (; column < columns; ++column) {
    for (int lane = 0; lane < lanes; ++lane) sums[column][lane] = rows[lane * stride + column];
  }
}

inline void store_sums(Floats* sums, size_t columns, size_t stride, float* rows) {
  size_t column = 0;
  for (; column + lanes <= columns; column += lanes) {
    lanes_to_groups<lanes>(sums + column);
    for (int lane = 0; lane < lanes; ++lane) store_lanes(rows + lane * stride + column, sums[column + lane]);
  }
  for (; column < columns; ++column) {
    for (int lane = 0; lane < lanes; ++lane) rows[lane * stride + column] = sums[column][lane];
  }
}

// Rounds the groups of a batch one after another, each for `count` vectors of rows from `row` on, and passes changes on
// inside the batch. values: changes of the batch's columns, a row every `stride` floats; changed_rows: for each group
// of the batch, where rows are appended.
void round_batch(const Span& batch, size_t group_count, size_t row, int count, int moves, bool start,
                 const GuidedRows& rows, float* values, size_t stride, std::vector<uint32_t>* changed_rows) {
  Floats sums[most_vectors][batch_columns];
  float* accumulators = rows.accumulators + row * rows.stride + batch.first_column;
  for (int v = 0; v < count; ++v) {
    load_sums(accumulators + v * lanes * rows.stride, rows.stride, batch.columns, sums[v]);
  }

  size_t column = 0;
  for (size_t g = 0; g < batch.count; ++g) {
    const GuidedGroup& group = batch.groups[g];
    with_shape(group.pyramid, [&](auto shape) {
      constexpr int d = shape.dimension;
      GroupState states[most_vectors];
      for (int v = 0; v < count; ++v) {
        const size_t first = row + v * lanes, place = first * rows.columns + (batch.first_column + column) * lanes;
        states[v] = {rows.targets + place, rows.differences + place,
                     sums[v] + column,     load_lanes(rows.scales + first),
                     rows.points + place,  rows.levels + first * group_count + (batch.first_group + g) * lanes};
      }
      GuidedLanes<d, shape.lattice> search[most_vectors];
      round_group(group, moves, start, states, count, search);
      for (int v = 0; v < count; ++v) {
        Floats change[d];
        const Integers changed = store_group(search[v], start, states[v], change);
        if (!any(changed)) continue;
        const size_t end = std::min(batch.last_column(), group.first_coupled + group.coupled_columns);
        for (size_t to = std::max(batch.first_column, group.first_coupled); to < end; ++to) {
          const float* coupling = coupling_to(group, to);
          Floats sum = sums[v][to - batch.first_column];
          for (int i = 0; i < d; ++i) sum = multiply_add(change[i], coupling[i * coupling_panel], sum);
          sums[v][to - batch.first_column] = sum;
        }
        for (int lane = 0; lane < lanes; ++lane) {
          if (changed[lane] == 0) continue;
          const size_t changed_row = row + v * lanes + lane;
          changed_rows[g].push_back(static_cast<uint32_t>(changed_row));
          for (int i = 0; i < d; ++i) values[changed_row * stride + column + i] = change[i][lane];
        }
      }
      column += d;
    });
  }
  for (int v = 0; v < count; ++v) {
    store_sums(sums[v], batch.columns, rows.stride, accumulators + v * lanes * rows.stride);
  }
}

void sweep_groups(const GuidedGroup* groups, size_t group_count, int moves, bool start, const GuidedRows& rows) {
  std::vector<float> values(rows.count * block_columns);
  std::vector<std::vector<uint32_t>> changed_rows(block_columns / 2);
  const Accumulators accumulators{rows.accumulators, rows.stride};
  span_of(groups, group_count).for_each_part(block_columns, [&](const Span& block) {
    for (std::vector<uint32_t>& changed : changed_rows) changed.clear();
    const Changes changes{values.data(), rows.count, block_columns, start ? nullptr : changed_rows.data()};
    block.for_each_part(batch_columns, [&](const Span& batch) {
      const size_t column = batch.first_column - block.first_column, group = batch.first_group - block.first_group;
      for (size_t row = 0; row < rows.count; row += most_vectors * lanes) {
        const size_t left = (rows.count - row) / lanes;
        round_batch(batch, group_count, row, static_cast<int>(std::min<size_t>(left, most_vectors)), moves, start, rows,
                    values.data() + column, block_columns, changed_rows.data() + group);
      }
      couple_batch(batch, block, changes.from(column, group), accumulators);
    });
    couple_block(block, rows.columns, changes, accumulators);
  });
}

}  // namespace
}  // namespace pyramidion
