// What changes of groups add to the accumulators of other columns: a product with the coupling matrix, for several
// groups at once, so that accumulators are read and written seldom. In it columns are lanes, not rows: a row then takes
// part with just the groups that changed in it, in sweeps of coordinate descent one in ten. Every accumulator takes its
// terms one by one in the order of the groups, so the result depends neither on the batches nor on the instruction set.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include <algorithm>

#include "cpu/guided_rounding/dispatch.h"
#include "cpu/guided_rounding/group_lanes.h"

namespace pyramidion {
namespace {

// With a tile's columns of the coupling matrix they fill half of a first-level cache or all of it.
constexpr size_t batch_columns = 64;
constexpr int tile_vectors = 8;

inline Floats load_lanes(const float* from) {
  Floats vector;
  memcpy(&vector, from, sizeof(vector));
  return vector;
}

inline void store_lanes(float* to, const Floats& vector) { memcpy(to, &vector, sizeof(vector)); }

// Consecutive groups, of batch_columns columns at most.
struct Batch {
  const GuidedGroup* groups;
  size_t count, first_group, first_column, columns;

  size_t last_column() const { return first_column + columns; }
};

template <class Action>
void for_each_batch(const GuidedGroup* groups, size_t group_count, const Action& action) {
  const auto dimension = [&](size_t g) { return static_cast<size_t>(groups[g].pyramid.dimension); };
  size_t column = 0;
  for (size_t g = 0; g < group_count;) {
    Batch batch{groups + g, 0, g, column, 0};
    for (; g < group_count && batch.columns + dimension(g) <= batch_columns; ++g) {
      batch.columns += dimension(g);
      ++batch.count;
    }
    column += batch.columns;
    action(batch);
  }
}

// Changes of a batch's columns, row after row, and the set of groups that changed, a bit a group.
struct BatchChanges {
  const float* values;
  size_t stride;
  const uint32_t* changed;
};
constexpr uint32_t all_groups = ~uint32_t{0};

template <int vectors>
void couple_tile(const Batch& batch, uint32_t changed, const float* change, size_t column, float* accumulators) {
  Floats sums[vectors];
  for (int v = 0; v < vectors; ++v) sums[v] = load_lanes(accumulators + v * lanes);
  for (size_t g = 0; g < batch.count; ++g) {
    const GuidedGroup& group = batch.groups[g];
    const int d = group.pyramid.dimension;
    if ((changed >> g & 1) != 0) {
      const float* coupling = group.coupling + (column - group.first_coupled);
      for (int i = 0; i < d; ++i) {
        for (int v = 0; v < vectors; ++v) {
          sums[v] = multiply_add(load_lanes(coupling + v * lanes), change[i], sums[v]);
        }
        coupling += group.coupling_stride;
      }
    }
    change += d;
  }
  for (int v = 0; v < vectors; ++v) store_lanes(accumulators + v * lanes, sums[v]);
}

inline void couple_column(const Batch& batch, uint32_t changed, const float* change, size_t column,
                          float* accumulator) {
  for (size_t g = 0; g < batch.count; ++g) {
    const GuidedGroup& group = batch.groups[g];
    const int d = group.pyramid.dimension;
    const float* coupling = group.coupling + (column - group.first_coupled);
    for (int i = 0; (changed >> g & 1) != 0 && i < d; ++i) {
      *accumulator = __builtin_fmaf(coupling[i * group.coupling_stride], change[i], *accumulator);
    }
    change += d;
  }
}

// Of rows x columns accumulators the columns from first to last - 1, which every group of the mask is coupled to.
void couple_columns(const Batch& batch, const BatchChanges& changes, uint32_t mask, size_t rows, size_t columns,
                    size_t first, size_t last, float* accumulators) {
  const auto for_each_row = [&](const auto& couple) {
    for (size_t row = 0; row < rows; ++row) {
      const uint32_t changed = mask & (changes.changed == nullptr ? all_groups : changes.changed[row]);
      if (changed != 0) couple(changed, changes.values + row * changes.stride, accumulators + row * columns + first);
    }
  };
  for (; last - first >= tile_vectors * lanes; first += tile_vectors * lanes) {
    for_each_row([&](uint32_t changed, const float* change, float* to) {
      couple_tile<tile_vectors>(batch, changed, change, first, to);
    });
  }
  for (; last - first >= lanes; first += lanes) {
    for_each_row(
        [&](uint32_t changed, const float* change, float* to) { couple_tile<1>(batch, changed, change, first, to); });
  }
  for (; first < last; ++first) {
    for_each_row(
        [&](uint32_t changed, const float* change, float* to) { couple_column(batch, changed, change, first, to); });
  }
}

// The same for what each group is coupled to of these columns: those of all groups together, those of some group by
// group.
void couple_range(const Batch& batch, const BatchChanges& changes, size_t rows, size_t columns, size_t first,
                  size_t last, float* accumulators) {
  const auto begin_of = [&](const GuidedGroup& group) { return std::min(std::max(first, group.first_coupled), last); };
  const auto end_of = [&](const GuidedGroup& group) {
    return std::max(begin_of(group), std::min(last, group.first_coupled + group.coupled_columns));
  };
  size_t common_first = first, common_last = last;
  for (size_t g = 0; g < batch.count; ++g) {
    common_first = std::max(common_first, begin_of(batch.groups[g]));
    common_last = std::min(common_last, end_of(batch.groups[g]));
  }
  if (common_first >= common_last) common_first = common_last = last;
  for (size_t g = 0; g < batch.count; ++g) {
    const size_t begin = begin_of(batch.groups[g]), end = end_of(batch.groups[g]);
    const auto alone = [&](size_t from, size_t to) {
      if (from < to) couple_columns(batch, changes, uint32_t{1} << g, rows, columns, from, to, accumulators);
    };
    alone(begin, std::min(end, common_first));
    alone(std::max(begin, common_last), end);
  }
  couple_columns(batch, changes, all_groups, rows, columns, common_first, common_last, accumulators);
}

void accumulate_groups(const GuidedGroup* groups, size_t group_count, const float* changes, size_t rows, size_t columns,
                       float* accumulators) {
  for_each_batch(groups, group_count, [&](const Batch& batch) {
    couple_range(batch, {changes + batch.first_column, columns, nullptr}, rows, columns, 0, columns, accumulators);
  });
}

}  // namespace
}  // namespace pyramidion
