// The code of a segment of columns, and the layout of the rows it makes: docs/architecture.md, "PVQ rows", as types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/pvq/pyramid_tables.h"

namespace pyramidion {

// What is said of a segment from outside.
struct PvqSegment {
  size_t columns;
  // D: 2, 4, 8, 16 or 32.
  int dimension;
  // K >= 1.
  int pulses;
  // The L gain levels, ascending, finite, relative to the row scale.
  std::vector<float> levels;
};

// ceil(log2(L N(D,K))), the bits of a code; 65 when it does not fit 64.
int code_bits(uint64_t count, size_t levels);

// A segment, checked, with what follows from it. A group's code is level * N(D,K) + index(point).
struct PvqCode {
  // Throws Error INVALID_ARGUMENT for a dimension, pulses or levels outside what PvqSegment says, or more than 64 bits.
  PvqCode(const PvqSegment& segment, PyramidCache& cache);

  size_t columns;
  int dimension, pulses;
  std::vector<float> levels;
  std::shared_ptr<const PyramidTables> tables;
  // Groups in a row, the last one padded with zeros; bits of a code; bytes of this segment in a row.
  size_t groups;
  int bits;
  size_t bytes;

  uint64_t count() const { return tables->counts.count(); }
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

// The first row with a code >= L N(D,K) or padding bits that are not zero, or -1. codes: rows x layout.row_bytes.
int64_t first_invalid_row(const PvqLayout& layout, const uint8_t* codes, size_t rows);

}  // namespace pyramidion
