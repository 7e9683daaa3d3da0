#include "core/pvq/integer_tokens.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/matrix/half.h"
#include "cpu/floats/kernels.h"
#include "cpu/panel_product/dispatch.h"

namespace pyramidion {
namespace {

constexpr size_t kQuadBytes = block_groups * 4;

// From a token to the next: lines of 64 bytes, so many that a few tokens side by side do not meet in the same sets of
// the first-level cache, which addresses 4096 bytes apart have in common.
size_t padded_lines(size_t lines) { return lines <= 8 ? lines : (lines + 7) / 16 * 16 + 8; }

// Added to a number below 2^22 it leaves the nearest whole one in the lowest bits.
constexpr float kRounder = 0x1.8p23f;

// Whether all values are finite; values become whole multiples of 1 / inverse.
bool round_to_bytes(const float* x, size_t count, float inverse, int8_t* values) {
  uint32_t infinite = 0;
  for (size_t i = 0; i < count; ++i) {
    infinite |= (bits_of_float(x[i]) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
    values[i] = static_cast<int8_t>(bits_of_float(x[i] * inverse + kRounder));
  }
  return infinite == 0;
}

// Quads of a row of groups into the order of blocks, and the corrections.
void order_by_lanes(const int8_t* row, const PvqCode& code, int8_t* values, int32_t* corrections) {
  const size_t quads = static_cast<size_t>(quads_of(code)), dimension = static_cast<size_t>(code.dimension);
  const size_t quad_width = std::min<size_t>(dimension, 4);
  for (size_t g = 0; g < code.groups; ++g) {
    const int8_t* group = row + g * dimension;
    int8_t* lane = values + g / block_groups * quads * kQuadBytes + g % block_groups * 4;
    for (size_t q = 0; q < quads; ++q) std::memcpy(lane + q * kQuadBytes, group + 4 * q, quad_width);
    int sum = 0;
    for (size_t i = 0; i < dimension; ++i) sum += group[i];
    corrections[g] = -8 * sum;
  }
}

// Groups in the order of panels, and the corrections.
void order_for_panels(const int8_t* row, const PvqCode& code, int8_t* values, int32_t* corrections) {
  const size_t width = 4 * static_cast<size_t>(quads_of(code)), dimension = static_cast<size_t>(code.dimension);
  for (size_t g = 0; g < code.groups; ++g) {
    const int8_t* group = row + g * dimension;
    const size_t place = groups_before_lane(code.groups, g % block_groups) + g / block_groups;
    std::memcpy(values + place * width, group, dimension);
    int sum = 0;
    for (size_t i = 0; i < dimension; ++i) sum += group[i];
    corrections[place] = -128 * sum;
  }
}

typedef float Four __attribute__((vector_size(16)));

Four load_four(const float* from) {
  Four four;
  std::memcpy(&four, from, sizeof(four));
  return four;
}

// 16 lanes into four.
Four quarter(const float* lanes) {
  return (load_four(lanes) + load_four(lanes + 8)) + (load_four(lanes + 4) + load_four(lanes + 12));
}

}  // namespace

bool same_token_order(const PvqLayout& a, const PvqLayout& b) {
  const auto same = [](const PvqCode& one, const PvqCode& other) {
    return one.columns == other.columns && one.dimension == other.dimension;
  };
  return std::equal(a.codes.begin(), a.codes.end(), b.codes.begin(), b.codes.end(), same);
}

void sum_lanes(const float* lanes, size_t count, float* sums) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4, lanes += 4 * block_groups) {
    const Four a = quarter(lanes), b = quarter(lanes + 16), c = quarter(lanes + 32), d = quarter(lanes + 48);
    // Two sums of each: a0 + a2, a1 + a3, b0 + b2, b1 + b3.
    const Four ab = __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
    const Four cd = __builtin_shufflevector(c, d, 0, 1, 4, 5) + __builtin_shufflevector(c, d, 2, 3, 6, 7);
    const Four all = __builtin_shufflevector(ab, cd, 0, 2, 4, 6) + __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
    std::memcpy(sums + i, &all, sizeof(all));
  }
  for (; i < count; ++i, lanes += block_groups) {
    const Four last = quarter(lanes);
    sums[i] = (last[0] + last[2]) + (last[1] + last[3]);
  }
}

std::vector<IntegerTokens::Place> IntegerTokens::places_of(const PvqLayout& layout) {
  std::vector<Place> places = {{0, 0}};
  for (const PvqCode& code : layout.codes) {
    const size_t blocks = blocks_of(code);
    places.push_back({places.back().block + blocks, places.back().quad + blocks * static_cast<size_t>(quads_of(code))});
  }
  return places;
}

IntegerTokens::IntegerTokens(const PvqLayout& layout, const float* x, size_t tokens, ThreadPool& pool)
    : IntegerTokens(layout, x, tokens, pool, tokens >= least_panel_tokens && panel_kernel() != nullptr) {}

IntegerTokens::IntegerTokens(const PvqLayout& layout, const float* x, size_t tokens, ThreadPool& pool, bool for_panels)
    : places_(places_of(layout)),
      scales_(tokens),
      value_stride_(padded_lines(places_.back().quad) * kQuadBytes),
      correction_stride_(padded_lines(places_.back().block) * block_groups),
      values_(tokens * value_stride_),
      corrections_(tokens * correction_stride_),
      for_panels_(for_panels),
      panel_values_(for_panels ? tokens * value_stride_ : 0),
      panel_corrections_(for_panels ? tokens * correction_stride_ : 0) {
  pool.parallel_for(tokens, 16, [&](size_t first, size_t last) {
    for (size_t token = first; token < last; ++token) convert(layout, x + token * layout.columns, token);
  });
}

void IntegerTokens::convert(const PvqLayout& layout, const float* x, size_t token) {
  const float largest = float_kernels().largest_magnitude(x, layout.columns), scale = largest / 127;
  // Below the normal numbers the reciprocal may overflow: such a token is as good as zero.
  const float inverse = scale >= FLT_MIN && std::isfinite(largest) ? 127 / largest : 0;
  int8_t* values = values_.data() + token * value_stride_;
  int32_t* corrections = corrections_.data() + token * correction_stride_;
  std::memset(values, 0, places_.back().quad * kQuadBytes);
  std::memset(corrections, 0, places_.back().block * block_groups * sizeof(int32_t));
  int8_t* panel_values = panel_values_.data() + (for_panels_ ? token * value_stride_ : 0);
  if (for_panels_) std::memset(panel_values, 0, places_.back().quad * kQuadBytes);
  std::vector<int8_t> row;
  bool finite = true;
  for (size_t s = 0; s < layout.codes.size(); ++s) {
    const PvqCode& code = layout.codes[s];
    row.assign(code.groups * static_cast<size_t>(code.dimension), 0);
    finite &= round_to_bytes(x, code.columns, inverse, row.data());
    order_by_lanes(row.data(), code, values + places_[s].quad * kQuadBytes,
                   corrections + places_[s].block * block_groups);
    if (for_panels_) {
      order_for_panels(row.data(), code, panel_values + places_[s].quad * kQuadBytes,
                       panel_corrections_.data() + token * correction_stride_ + places_[s].block * block_groups);
    }
    x += code.columns;
  }
  scales_[token] = finite ? scale : std::numeric_limits<float>::quiet_NaN();
}

SegmentTokens IntegerTokens::segment(size_t index, size_t first, size_t count) const {
  return SegmentTokens{scales_.size(), value_stride_, correction_stride_,
                       values_.data() + places_[index].quad * kQuadBytes,
                       corrections_.data() + places_[index].block * block_groups}
      .slice(first, count);
}

PanelTokens IntegerTokens::panel_segment(size_t index, size_t first) const {
  return PanelTokens{panel_values_.data() + places_[index].quad * kQuadBytes, value_stride_,
                     panel_corrections_.data() + places_[index].block * block_groups, correction_stride_}
      .from(first);
}

}  // namespace pyramidion
