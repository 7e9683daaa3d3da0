// What changes of groups add to the accumulators of other columns: a product with the coupling matrix. In it columns
// are lanes, not rows: a row then takes part with just the groups that changed in it, in sweeps of coordinate descent
// one in ten. Every accumulator takes its terms one by one in the order of the groups, so the result depends neither on
// the tiles nor on the instruction set.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/guided_rounding/dispatch.h"
#include "cpu/guided_rounding/group_lanes.h"

namespace pyramidion {
namespace {

// Accumulators of a tile, rows x vectors: as many as registers hold beside what they are made of. A tile's part of the
// coupling matrix is read again for every few rows and has to fit the first-level cache.
#if PYRAMIDION_LANES == 16 || defined(PYRAMIDION_NEON)
constexpr int widest_tile = 4;
#else
constexpr int widest_tile = 2;
#endif
static_assert(coupling_panel % (widest_tile * lanes) == 0, "tiles stay within a panel");
// Narrow tiles have more rows instead.
constexpr int rows_of_tile(int vectors) { return vectors == widest_tile ? 6 : 12; }
constexpr size_t dense_columns = 64;
// Columns of the groups between two products with all others.
constexpr size_t block_columns = 256;
// Columns of a batch: groups that are rounded before others hear of it.
constexpr size_t batch_columns = 64;

// Consecutive groups of a sweep and their columns.
struct Span {
  const GuidedGroup* groups;
  size_t count, first_group, first_column, columns;

  size_t last_column() const { return first_column + columns; }

  // Calls action(Span) with parts of at most `most` columns, at least 32, one after another.
  template <class Action>
  void for_each_part(size_t most, const Action& action) const {
    Span part{groups, 0, first_group, first_column, 0};
    for (size_t g = 0; g < count; ++g) {
      const auto d = static_cast<size_t>(groups[g].pyramid.dimension);
      if (part.columns + d > most) {
        action(part);
        part = {groups + g, 0, first_group + g, part.last_column(), 0};
      }
      part.columns += d;
      ++part.count;
    }
    action(part);
  }
};

inline Span span_of(const GuidedGroup* groups, size_t count) {
  Span span{groups, count, 0, 0, 0};
  for (size_t g = 0; g < count; ++g) span.columns += groups[g].pyramid.dimension;
  return span;
}

// Changes of a span's columns, `row_count` rows `stride` apart, and for each of its groups the rows in which it
// changed; null where all did in all rows.
struct Changes {
  const float* values;
  size_t row_count, stride;
  const std::vector<uint32_t>* rows;

  // Those of a part that starts so many columns and groups later.
  Changes from(size_t column, size_t group) const {
    return {values + column, row_count, stride, rows == nullptr ? nullptr : rows + group};
  }
};

// What products add to: rows of `stride` floats.
struct Accumulators {
  float* values;
  size_t stride;
};

// Part of the coupling matrix that will be read next: so many floats of it for each row of the product at hand.
struct Ahead {
  const float* from;
  size_t floats_per_row;

  void fetch(size_t row, size_t rows) const {
    for (size_t at = row * floats_per_row; at < (row + rows) * floats_per_row; at += 16)
      __builtin_prefetch(from + at, 0, 2);
  }
};

// changes, accumulators: a pointer a row, to its changes of the span's first column and to its sum of `column`.
template <int rows, int vectors>
void couple_tile(const Span& span, const float* const* changes, size_t column, float* const* accumulators) {
  Floats sums[rows][vectors];
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) sums[r][v] = load_lanes(accumulators[r] + v * lanes);
  }
  size_t place = 0;
  for (size_t g = 0; g < span.count; ++g) {
    const GuidedGroup& group = span.groups[g];
    const float* coupling = coupling_to(group, column);
    for (const size_t end = place + group.pyramid.dimension; place < end; ++place) {
      Floats row_of_coupling[vectors];
      for (int v = 0; v < vectors; ++v) row_of_coupling[v] = load_lanes(coupling + v * lanes);
      for (int r = 0; r < rows; ++r) {
        const float change = changes[r][place];
        for (int v = 0; v < vectors; ++v) sums[r][v] = multiply_add(row_of_coupling[v], change, sums[r][v]);
      }
      coupling += coupling_panel;
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) store_lanes(accumulators[r] + v * lanes, sums[r][v]);
  }
}

// The same for any number of rows, row_of(0), row_of(1), ..., `rows` at a time.
template <int rows, int vectors, class RowOf>
void couple_tiles(const Span& span, const Changes& changes, size_t row_count, const RowOf& row_of, size_t column,
                  const Accumulators& accumulators, const Ahead& ahead) {
  size_t first = 0;
  for (; first + rows <= row_count; first += rows) {
    const float* from[rows];
    float* to[rows];
    for (int r = 0; r < rows; ++r) {
      const size_t row = row_of(first + r);
      from[r] = changes.values + row * changes.stride;
      to[r] = accumulators.values + row * accumulators.stride + column;
    }
    ahead.fetch(first, rows);
    couple_tile<rows, vectors>(span, from, column, to);
  }
  if constexpr (rows > 1) {
    const auto rest = [&](size_t r) { return row_of(first + r); };
    couple_tiles<rows - 1, vectors>(span, changes, row_count - first, rest, column, accumulators, {nullptr, 0});
  }
}

template <int vectors>
void couple_vectors(const Span& span, const Changes& changes, size_t column, const Accumulators& accumulators) {
  if (changes.rows == nullptr) {
    const auto row_of = [](size_t r) { return r; };
    span.for_each_part(dense_columns, [&](const Span& part) {
      const size_t floats = part.columns * coupling_panel;
      const bool last = part.last_column() == span.last_column();
      const float* next =
          last ? coupling_to(span.groups[0], column + coupling_panel) : coupling_to(part.groups[0], column) + floats;
      couple_tiles<rows_of_tile(vectors), vectors>(part, changes.from(part.first_column - span.first_column, 0),
                                                   changes.row_count, row_of, column, accumulators,
                                                   {next, floats / changes.row_count});
    });
    return;
  }
  size_t place = 0;
  for (size_t g = 0; g < span.count; ++g) {
    const std::vector<uint32_t>& rows = changes.rows[g];
    const auto row_of = [&](size_t r) { return rows[r]; };
    couple_tiles<rows_of_tile(vectors), vectors>({span.groups + g, 1, 0, 0, 0}, changes.from(place, g), rows.size(),
                                                 row_of, column, accumulators, {nullptr, 0});
    place += span.groups[g].pyramid.dimension;
  }
}

inline void couple_column(const Span& span, const Changes& changes, size_t column, const Accumulators& accumulators) {
  size_t place = 0;
  for (size_t g = 0; g < span.count; ++g) {
    const GuidedGroup& group = span.groups[g];
    const float* coupling = coupling_to(group, column);
    const size_t count = changes.rows == nullptr ? changes.row_count : changes.rows[g].size();
    for (size_t r = 0; r < count; ++r) {
      const size_t row = changes.rows == nullptr ? r : changes.rows[g][r];
      float& sum = accumulators.values[row * accumulators.stride + column];
      for (int i = 0; i < group.pyramid.dimension; ++i) {
        sum = __builtin_fmaf(coupling[i * coupling_panel], changes.values[row * changes.stride + place + i], sum);
      }
    }
    place += group.pyramid.dimension;
  }
}

// Columns from first to last - 1 of one panel, which every group is coupled to, in tiles as wide as fit.
template <int vectors>
void couple_panel(const Span& span, const Changes& changes, size_t first, size_t last,
                  const Accumulators& accumulators) {
  for (; last - first >= vectors * lanes; first += vectors * lanes) {
    couple_vectors<vectors>(span, changes, first, accumulators);
  }
  if constexpr (vectors > 1) {
    couple_panel<vectors / 2>(span, changes, first, last, accumulators);
  } else {
    for (; first < last; ++first) couple_column(span, changes, first, accumulators);
  }
}

// The same for columns of any panels.
inline void couple_columns(const Span& span, const Changes& changes, size_t first, size_t last,
                           const Accumulators& accumulators) {
  while (first < last) {
    const size_t end = std::min(last, (first / coupling_panel + 1) * coupling_panel);
    couple_panel<widest_tile>(span, changes, first, end, accumulators);
    first = end;
  }
}

// The same for what each group is coupled to of these columns: those of all groups together, those of some group by
// group.
inline void couple_range(const Span& span, const Changes& changes, size_t first, size_t last,
                         const Accumulators& accumulators) {
  const auto begin_of = [&](const GuidedGroup& group) { return std::min(std::max(first, group.first_coupled), last); };
  const auto end_of = [&](const GuidedGroup& group) {
    return std::max(begin_of(group), std::min(last, group.first_coupled + group.coupled_columns));
  };
  size_t common_first = first, common_last = last;
  for (size_t g = 0; g < span.count; ++g) {
    common_first = std::max(common_first, begin_of(span.groups[g]));
    common_last = std::min(common_last, end_of(span.groups[g]));
  }
  if (common_first >= common_last) common_first = common_last = last;
  size_t place = 0;
  for (size_t g = 0; g < span.count; ++g) {
    const size_t begin = begin_of(span.groups[g]), end = end_of(span.groups[g]);
    const auto d = static_cast<size_t>(span.groups[g].pyramid.dimension);
    const auto alone = [&](size_t from, size_t to) {
      if (from < to) couple_columns({span.groups + g, 1, 0, 0, d}, changes.from(place, g), from, to, accumulators);
    };
    alone(begin, std::min(end, common_first));
    alone(std::max(begin, common_last), end);
    place += d;
  }
  couple_columns(span, changes, common_first, common_last, accumulators);
}

// What a batch of a block's groups adds to the block's other columns.
inline void couple_batch(const Span& batch, const Span& block, const Changes& changes,
                         const Accumulators& accumulators) {
  couple_range(batch, changes, block.first_column, batch.first_column, accumulators);
  couple_range(batch, changes, batch.last_column(), block.last_column(), accumulators);
}

// What a block adds to all other columns.
inline void couple_block(const Span& block, size_t columns, const Changes& changes, const Accumulators& accumulators) {
  couple_range(block, changes, 0, block.first_column, accumulators);
  couple_range(block, changes, block.last_column(), columns, accumulators);
}

inline void accumulate_groups(const GuidedGroup* groups, size_t group_count, const float* changes, size_t rows,
                              size_t columns, size_t stride, float* accumulators) {
  const Changes all{changes, rows, stride, nullptr};
  const Accumulators sums{accumulators, stride};
  span_of(groups, group_count).for_each_part(block_columns, [&](const Span& block) {
    block.for_each_part(batch_columns, [&](const Span& batch) {
      const Changes own = all.from(batch.first_column, 0);
      couple_range(batch, own, batch.first_column, batch.last_column(), sums);
      couple_batch(batch, block, own, sums);
    });
    couple_block(block, columns, all.from(block.first_column, 0), sums);
  });
}

}  // namespace
}  // namespace pyramidion
