// The code of a segment of columns, and the layout of the rows it makes: docs/architecture.md, "PVQ rows", as types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/pvq/pyramid.h"
#include "core/pvq/pyramid_cache.h"

namespace pyramidion {

// What is said of a segment from outside.
struct PvqSegment {
  size_t columns;
  // D: 2, 4, 8, 16 or 32; 16 for the Barnes-Wall lattice.
  int dimension;
  // K >= 1; even and at least 8 for the Barnes-Wall lattice.
  int pulses;
  // The L gain levels, ascending, finite, relative to the row scale.
  std::vector<float> levels;
  Lattice lattice = Lattice::integer;
};

// Throws Error EMPTY for no levels, INVALID_ARGUMENT for levels that are not finite, negative or not ascending.
void check_levels(const float* levels, size_t count);

// ceil(log2(L N)), the bits of a code with L levels and N points; 65 when it does not fit 64.
int code_bits(uint64_t count, size_t levels);

// A segment, checked, with what follows from it. A group's code is level * count() + index of the point.
struct PvqCode {
  // Throws Error INVALID_ARGUMENT for a dimension, pulses or levels outside what PvqSegment says, or more than 64 bits.
  PvqCode(const PvqSegment& segment, PyramidCache& cache);

  size_t columns;
  int dimension, pulses;
  Lattice lattice;
  std::vector<float> levels;
  // The points that a direction may be.
  std::shared_ptr<const PointIndex> points;
  // What decoding looks up: one of the two, by lattice.
  std::shared_ptr<const PyramidTables> tables;
  std::shared_ptr<const BarnesWallTables> barnes_wall;
  // Groups in a row, the last one padded with zeros; bits of a code; bytes of this segment in a row.
  size_t groups;
  int bits;
  size_t bytes;

  Pyramid pyramid() const { return {dimension, pulses, lattice}; }
  uint64_t count() const { return points->count(); }
};

// All segments of a row.
struct PvqLayout {
  // Throws what PvqCode throws, and INVALID_SHAPE when the segments do not add up to `columns` or one that is not the
  // last does not hold a whole number of groups.
  PvqLayout(size_t columns, const std::vector<PvqSegment>& segments, PyramidCache& cache);

  size_t columns;
  std::vector<PvqCode> codes;
  size_t row_bytes;
};

// The first row with a code >= L count() or padding bits that are not zero, or -1. codes: rows x layout.row_bytes.
int64_t first_invalid_row(const PvqLayout& layout, const uint8_t* codes, size_t rows);

}  // namespace pyramidion
