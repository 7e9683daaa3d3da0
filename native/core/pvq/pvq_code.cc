#include "core/pvq/pvq_code.h"

#include <cmath>
#include <string>

#include "core/error.h"
#include "core/pvq/bit_stream.h"

namespace pyramidion {
namespace {

void check(const PvqSegment& segment) {
  const int d = segment.dimension;
  if (d < 2 || d > PyramidCounts::max_dimension || (d & (d - 1)) != 0) {
    throw Error("INVALID_ARGUMENT", "dimension must be 2, 4, 8, 16 or 32, got " + std::to_string(d));
  }
  if (segment.lattice == Lattice::barnes_wall && (d != BarnesWallIndex::dimension || segment.pulses < 8)) {
    throw Error("INVALID_ARGUMENT", "the Barnes-Wall lattice needs dimension 16 and at least 8 pulses, got dimension " +
                                        std::to_string(d) + " and " + std::to_string(segment.pulses) + " pulses");
  }
  if (segment.pulses < 1) {
    throw Error("INVALID_ARGUMENT", "pulses must be at least 1, got " + std::to_string(segment.pulses));
  }
  if (segment.columns == 0) throw Error("EMPTY", "a segment must have at least one column");
  // Keeps bit counts of a row far from overflow.
  if (segment.columns > size_t{1} << 32) {
    throw Error("INVALID_SHAPE", "a segment must have at most 2^32 columns, got " + std::to_string(segment.columns));
  }
  check_levels(segment.levels.data(), segment.levels.size());
}

}  // namespace

void check_levels(const float* levels, size_t count) {
  if (count == 0) throw Error("EMPTY", "levels must hold at least one gain level");
  for (size_t i = 0; i < count; ++i) {
    const float level = levels[i];
    if (!std::isfinite(level) || level < 0 || (i > 0 && level < levels[i - 1])) {
      throw Error("INVALID_ARGUMENT", "levels must be finite, not negative and ascending, got " +
                                          std::to_string(level) + " at position " + std::to_string(i));
    }
  }
}

int code_bits(uint64_t count, size_t levels) {
  const unsigned __int128 largest = static_cast<unsigned __int128>(count) * levels - 1;
  int bits = 0;
  while (bits < 65 && largest >> bits != 0) ++bits;
  return bits;
}

PvqCode::PvqCode(const PvqSegment& segment, PyramidCache& cache)
    : columns(segment.columns),
      dimension(segment.dimension),
      pulses(segment.pulses),
      lattice(segment.lattice),
      levels(segment.levels) {
  check(segment);
  if (lattice == Lattice::integer) {
    tables = cache.tables(dimension, pulses);
    points = {tables, &tables->counts};
  } else {
    barnes_wall = cache.barnes_wall(pulses);
    points = {barnes_wall, &barnes_wall->index};
  }
  groups = (columns + dimension - 1) / dimension;
  bits = code_bits(count(), levels.size());
  if (bits > 64) {
    throw Error("INVALID_ARGUMENT", "dimension " + std::to_string(dimension) + ", pulses " + std::to_string(pulses) +
                                        " and " + std::to_string(levels.size()) +
                                        " levels need more than the 64 bits a code may have");
  }
  bytes = packed_bytes(groups, bits);
}

PvqLayout::PvqLayout(size_t columns, const std::vector<PvqSegment>& segments, PyramidCache& cache)
    : columns(columns), row_bytes(0) {
  if (segments.empty()) throw Error("EMPTY", "segments must hold at least one segment");
  size_t sum = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    codes.emplace_back(segments[i], cache);
    const PvqCode& code = codes.back();
    if (code.columns > columns - sum) break;
    if (i + 1 < segments.size() && code.columns % code.dimension != 0) {
      throw Error("INVALID_SHAPE", "segment " + std::to_string(i) + " has " + std::to_string(code.columns) +
                                       " columns, which is not a whole number of groups of " +
                                       std::to_string(code.dimension) + "; only the last segment may be padded");
    }
    sum += code.columns;
    row_bytes += code.bytes;
  }
  if (sum != columns || codes.size() != segments.size()) {
    throw Error("INVALID_SHAPE",
                "the segments' columns must add up to the " + std::to_string(columns) + " columns of the matrix");
  }
}

int64_t first_invalid_row(const PvqLayout& layout, const uint8_t* codes, size_t rows) {
  std::vector<uint64_t> unpacked;
  for (size_t row = 0; row < rows; ++row) {
    for (const PvqCode& code : layout.codes) {
      unpacked.resize(code.groups);
      unpack_codes(codes, code.groups, code.bits, unpacked.data());
      const unsigned __int128 limit = static_cast<unsigned __int128>(code.count()) * code.levels.size();
      const uint64_t largest = static_cast<uint64_t>(limit - 1);
      for (uint64_t value : unpacked) {
        if (value > largest) return static_cast<int64_t>(row);
      }
      const int used = static_cast<int>(code.groups * code.bits % 8);
      if (used != 0 && codes[code.bytes - 1] >> used != 0) return static_cast<int64_t>(row);
      codes += code.bytes;
    }
  }
  return -1;
}

}  // namespace pyramidion
