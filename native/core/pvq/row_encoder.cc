#include "core/pvq/row_encoder.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"

namespace pyramidion {
namespace {

// Rows a thread takes at a time are about this many weights.
constexpr size_t block_weights = 1 << 16;

size_t row_grain(size_t columns) { return std::max<size_t>(1, block_weights / columns); }

// Encodes one row at a time; the buffers are kept from row to row.
class RowEncoder {
 public:
  RowEncoder(const PvqLayout& layout, FindPoints find) : layout_(layout), find_(find) {
    for (const PvqCode& code : layout.codes) {
      parts_.push_back({std::vector<uint64_t>(code.groups), std::vector<double>(code.groups),
                        std::vector<uint64_t>(code.groups), std::vector<double>(code.levels.size() - 1)});
    }
  }

  uint16_t encode(const float* values, uint8_t* bytes) {
    // A copy, because JavaScript may write to the original meanwhile; what is checked here is what is encoded.
    row_.assign(values, values + layout_.columns);
    const double norm = root_mean_square(row_.data(), layout_.columns);
    if (!(norm <= largest_row_scale)) throw Error("INVALID_ARGUMENT", "values must not change while they are encoded");
    find_points(static_cast<float>(norm));
    // The levels that suit the root mean square, the scale that suits them, and the levels that suit that scale as f16
    // rounds it.
    const uint16_t half = norm > 0 ? float_to_half(static_cast<float>(std::min(refit(norm), largest_row_scale))) : 0;
    const double scale = half_to_float(half);
    if (scale > 0) choose_levels(scale);
    write(scale > 0, bytes);
    return half;
  }

 private:
  // What is known of a segment's groups: indices of points, projections <w, p/||p||> and the chosen levels; and the
  // projections halfway between levels, at the scale they were chosen for.
  struct Part {
    std::vector<uint64_t> index;
    std::vector<double> projection;
    std::vector<uint64_t> level;
    std::vector<double> boundary;
  };

  // Padding takes any value. Weights of the usual size give the last group the usual gain, for which the levels are
  // made; those of a row shorter than a group are made for zeros.
  void find_points(float usual) {
    const float* row = row_.data();
    for (size_t s = 0; s < parts_.size(); ++s) {
      const PvqCode& code = layout_.codes[s];
      Part& part = parts_[s];
      const bool short_row = layout_.columns < static_cast<size_t>(code.dimension);
      groups_.assign(code.groups * code.dimension, short_row ? 0 : usual);
      std::copy_n(row, code.columns, groups_.begin());
      find_(groups_.data(), code.groups, code.pyramid(), *code.points, part.index.data(), part.projection.data());
      row += code.columns;
    }
  }

  // The nearest level to each projection / scale.
  void choose_levels(double scale) {
    for (size_t s = 0; s < parts_.size(); ++s) {
      const std::vector<float>& levels = layout_.codes[s].levels;
      std::vector<double>& boundary = parts_[s].boundary;
      for (size_t l = 0; l < boundary.size(); ++l) {
        boundary[l] = scale * (static_cast<double>(levels[l]) + levels[l + 1]) / 2;
      }
      const double* projections = parts_[s].projection.data();
      uint64_t* chosen = parts_[s].level.data();
      const size_t groups = parts_[s].level.size();
      // Counting all boundaries below, boundary by boundary in vectors, is faster than a search, whose branches nobody
      // can predict, unless they are many.
      if (boundary.size() > 64) {
        for (size_t g = 0; g < groups; ++g) {
          chosen[g] = static_cast<uint64_t>(std::lower_bound(boundary.begin(), boundary.end(), projections[g]) -
                                            boundary.begin());
        }
        continue;
      }
      std::fill_n(chosen, groups, 0);
      for (const double limit : boundary) {
        for (size_t g = 0; g < groups; ++g) chosen[g] += limit < projections[g] ? 1 : 0;
      }
    }
  }

  // The scale of least squared error for the levels that suit `scale`.
  double refit(double scale) {
    choose_levels(scale);
    double level_projection = 0, level_square = 0;
    for (size_t s = 0; s < parts_.size(); ++s) {
      for (size_t g = 0; g < layout_.codes[s].groups; ++g) {
        const double level = layout_.codes[s].levels[parts_[s].level[g]];
        level_projection += level * parts_[s].projection[g];
        level_square += level * level;
      }
    }
    return level_square > 0 ? level_projection / level_square : 0;
  }

  // A row with scale 0 gets codes of zero, so that equal rows have equal bytes.
  void write(bool filled, uint8_t* bytes) {
    for (size_t s = 0; s < parts_.size(); ++s) {
      const PvqCode& code = layout_.codes[s];
      packed_.assign(code.groups, 0);
      for (size_t g = 0; filled && g < code.groups; ++g) {
        packed_[g] = parts_[s].level[g] * code.count() + parts_[s].index[g];
      }
      pack_codes(packed_.data(), code.groups, code.bits, bytes);
      bytes += code.bytes;
    }
  }

  const PvqLayout& layout_;
  FindPoints find_;
  std::vector<Part> parts_;
  std::vector<float> row_, groups_;
  std::vector<uint64_t> packed_;
};

}  // namespace

double root_mean_square(const float* row, size_t columns) {
  // Eight sums at once, in an order of their own: the compiler may not reorder one.
  double sums[8] = {}, sum = 0;
  const size_t whole = columns / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) {
    for (int lane = 0; lane < 8; ++lane) sums[lane] += static_cast<double>(row[i + lane]) * row[i + lane];
  }
  for (size_t i = whole; i < columns; ++i) sum += static_cast<double>(row[i]) * row[i];
  for (double lane : sums) sum += lane;
  return std::sqrt(sum / static_cast<double>(columns));
}

void check_row_values(const float* values, size_t rows, size_t columns, ThreadPool& pool) {
  const size_t grain = row_grain(columns);
  // The first bad row whatever the threads' order.
  std::atomic<size_t> first_bad{rows};
  pool.parallel_for(rows, grain, [&](size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      // NaN and infinity both fail the comparison.
      if (root_mean_square(values + row * columns, columns) <= largest_row_scale) continue;
      for (size_t seen = first_bad; row < seen && !first_bad.compare_exchange_weak(seen, row);) {
      }
      return;
    }
  });
  const size_t row = first_bad;
  if (row == rows) return;
  for (size_t column = 0; column < columns; ++column) {
    const float value = values[row * columns + column];
    if (!std::isfinite(value)) {
      throw Error("NOT_FINITE", "values must be finite, got " + std::to_string(value) + " in row " +
                                    std::to_string(row) + ", column " + std::to_string(column));
    }
  }
  throw Error("INVALID_ARGUMENT",
              "values: the root mean square of a row must be at most 65504, the largest row scale, got " +
                  std::to_string(root_mean_square(values + row * columns, columns)) + " in row " + std::to_string(row));
}

PvqRows encode_rows(const float* values, size_t rows, const PvqLayout& layout, FindPoints find, ThreadPool& pool,
                    const JobControl& control) {
  const size_t grain = row_grain(layout.columns);
  check_row_values(values, rows, layout.columns, pool);
  PvqRows result{std::vector<uint8_t>(rows * layout.row_bytes), std::vector<uint16_t>(rows)};
  pool.parallel_for(rows, grain, [&](size_t begin, size_t end) {
    RowEncoder encoder(layout, find);
    for (size_t row = begin; row < end; ++row) {
      control.check();
      result.row_scale[row] =
          encoder.encode(values + row * layout.columns, result.codes.data() + row * layout.row_bytes);
      control.advance(1);
    }
  });
  return result;
}

}  // namespace pyramidion
