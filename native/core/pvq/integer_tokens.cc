#include "core/pvq/integer_tokens.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/matrix/half.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

constexpr size_t kQuadBytes = block_groups * 4;

// From a token to the next: lines of 64 bytes, so many that a few tokens side by side do not meet in the same sets of
// the first-level cache, which addresses 4096 bytes apart have in common.
size_t padded_lines(size_t lines) { return lines <= 8 ? lines : (lines + 7) / 16 * 16 + 8; }

bool all_finite(const float* x, size_t count) {
  uint32_t infinite = 0;
  for (size_t i = 0; i < count; ++i) infinite |= (bits_of_float(x[i]) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  return infinite == 0;
}

// Quads as numbers, the first value in the lowest byte.
typedef int32_t FourQuads __attribute__((vector_size(16)));

// The sums of the values of each.
FourQuads sum_quads(FourQuads quads) {
  return (quads << 24 >> 24) + (quads << 16 >> 24) + (quads << 8 >> 24) + (quads >> 24);
}

// Where group g of `groups` goes in each order: its first quad and its correction, and from a quad to the next.
struct Spot {
  size_t quad, correction, stride;
};
template <TokenOrder order>
Spot spot_of(size_t g, size_t groups, size_t quads) {
  if (order == TokenOrder::panels) {
    const size_t place = groups_before_lane(groups, g % block_groups) + g / block_groups;
    return {place * quads, place, 1};
  }
  return {g / block_groups * quads * block_groups + g % block_groups, g, block_groups};
}

// Groups of `row`, of whole quads, into an order, and `factor` times the sum of each group's values.
template <TokenOrder order, size_t Quads>
void put_groups(const int8_t* row, size_t groups, int factor, int8_t* values, int32_t* corrections) {
  for (size_t g = 0; g < groups; g += 4) {
    // Four groups at a time for the sums' sake; of the last ones some may be there twice.
    const size_t count = std::min<size_t>(4, groups - g);
    FourQuads sums = {};
    for (size_t q = 0; q < Quads; ++q) {
      FourQuads quads;
      for (size_t i = 0; i < 4; ++i) {
        int32_t quad;
        std::memcpy(&quad, row + ((g + std::min(i, count - 1)) * Quads + q) * 4, sizeof(quad));
        quads[i] = quad;
      }
      sums += sum_quads(quads);
    }
    for (size_t i = 0; i < count; ++i) {
      const Spot spot = spot_of<order>(g + i, groups, Quads);
      for (size_t q = 0; q < Quads; ++q) {
        std::memcpy(values + (spot.quad + q * spot.stride) * 4, row + ((g + i) * Quads + q) * 4, 4);
      }
      corrections[spot.correction] = factor * sums[i];
    }
  }
}

template <TokenOrder order>
void put_in_order(const int8_t* row, const PvqCode& code, int factor, int8_t* values, int32_t* corrections) {
  switch (quads_of(code)) {
    case 1:
      return put_groups<order, 1>(row, code.groups, factor, values, corrections);
    case 2:
      return put_groups<order, 2>(row, code.groups, factor, values, corrections);
    case 4:
      return put_groups<order, 4>(row, code.groups, factor, values, corrections);
    default:
      return put_groups<order, 8>(row, code.groups, factor, values, corrections);
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

IntegerTokens::IntegerTokens(const PvqLayout& layout, const float* x, size_t tokens, TokenOrder order, ThreadPool& pool)
    : order_(order),
      places_(places_of(layout)),
      scales_(tokens),
      value_stride_(padded_lines(places_.back().quad) * kQuadBytes),
      correction_stride_(padded_lines(places_.back().block) * block_groups),
      values_(tokens * value_stride_),
      corrections_(tokens * correction_stride_) {
  pool.parallel_for(tokens, 16, [&](size_t first, size_t last) {
    for (size_t token = first; token < last; ++token) convert(layout, x + token * layout.columns, token);
  });
}

void IntegerTokens::convert(const PvqLayout& layout, const float* x, size_t token) {
  const FloatKernels& kernels = float_kernels();
  const float largest = kernels.largest_magnitude(x, layout.columns), scale = largest / 127;
  // Below the normal numbers the reciprocal may overflow: such a token is as good as zero.
  const float inverse = scale >= FLT_MIN && std::isfinite(largest) ? 127 / largest : 0;
  int8_t* values = values_.data() + token * value_stride_;
  int32_t* corrections = corrections_.data() + token * correction_stride_;
  std::memset(values, 0, places_.back().quad * kQuadBytes);
  std::memset(corrections, 0, places_.back().block * block_groups * sizeof(int32_t));
  scales_[token] = all_finite(x, layout.columns) ? scale : std::numeric_limits<float>::quiet_NaN();
  std::vector<int8_t> row;
  for (size_t s = 0; s < layout.codes.size(); ++s) {
    const PvqCode& code = layout.codes[s];
    row.assign(code.groups * 4 * static_cast<size_t>(quads_of(code)), 0);
    if (code.dimension == 2) {
      std::vector<int8_t> pairs(code.groups * 2);
      kernels.narrow_to_int8(x, code.columns, inverse, pairs.data());
      for (size_t g = 0; g < code.groups; ++g) std::memcpy(row.data() + g * 4, pairs.data() + g * 2, 2);
    } else {
      kernels.narrow_to_int8(x, code.columns, inverse, row.data());
    }
    int8_t* to = values + places_[s].quad * kQuadBytes;
    int32_t* own_corrections = corrections + places_[s].block * block_groups;
    if (order_ == TokenOrder::panels) {
      put_in_order<TokenOrder::panels>(row.data(), code, -128, to, own_corrections);
    } else {
      put_in_order<TokenOrder::blocks>(row.data(), code, -8, to, own_corrections);
    }
    x += code.columns;
  }
}

SegmentTokens IntegerTokens::segment(size_t index, size_t first, size_t count) const {
  return SegmentTokens{scales_.size(), value_stride_, correction_stride_,
                       values_.data() + places_[index].quad * kQuadBytes,
                       corrections_.data() + places_[index].block * block_groups}
      .slice(first, count);
}

PanelTokens IntegerTokens::panel_segment(size_t index, size_t first) const {
  return PanelTokens{values_.data() + places_[index].quad * kQuadBytes, value_stride_,
                     corrections_.data() + places_[index].block * block_groups, correction_stride_}
      .from(first);
}

}  // namespace pyramidion
