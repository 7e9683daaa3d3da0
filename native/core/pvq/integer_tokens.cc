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

}  // namespace

std::vector<IntegerTokens::Place> IntegerTokens::places_of(const PvqLayout& layout) {
  std::vector<Place> places = {{0, 0}};
  for (const PvqCode& code : layout.codes) {
    const size_t blocks = blocks_of(code);
    places.push_back({places.back().block + blocks, places.back().quad + blocks * static_cast<size_t>(quads_of(code))});
  }
  return places;
}

IntegerTokens::IntegerTokens(const PvqLayout& layout, const float* x, size_t tokens, ThreadPool& pool)
    : places_(places_of(layout)),
      scales_(tokens),
      values_(tokens * places_.back().quad * kQuadBytes),
      corrections_(tokens * places_.back().block * block_groups) {
  pool.parallel_for(tokens, 4, [&](size_t first, size_t last) {
    for (size_t token = first; token < last; ++token) convert(layout, x + token * layout.columns, token);
  });
}

void IntegerTokens::convert(const PvqLayout& layout, const float* x, size_t token) {
  const float largest = float_kernels().largest_magnitude(x, layout.columns), scale = largest / 127;
  // Below the normal numbers the reciprocal may overflow: such a token is as good as zero.
  const float inverse = scale >= FLT_MIN && std::isfinite(largest) ? 127 / largest : 0;
  int8_t* values = values_.data() + token * places_.back().quad * kQuadBytes;
  int32_t* corrections = corrections_.data() + token * places_.back().block * block_groups;
  std::memset(values, 0, places_.back().quad * kQuadBytes);
  std::memset(corrections, 0, places_.back().block * block_groups * sizeof(int32_t));
  std::vector<int8_t> row;
  bool finite = true;
  for (size_t s = 0; s < layout.codes.size(); ++s) {
    const PvqCode& code = layout.codes[s];
    row.assign(code.groups * static_cast<size_t>(code.dimension), 0);
    finite &= round_to_bytes(x, code.columns, inverse, row.data());
    order_by_lanes(row.data(), code, values + places_[s].quad * kQuadBytes,
                   corrections + places_[s].block * block_groups);
    x += code.columns;
  }
  scales_[token] = finite ? scale : std::numeric_limits<float>::quiet_NaN();
}

SegmentTokens IntegerTokens::segment(size_t index, size_t first, size_t count) const {
  const size_t value_stride = places_.back().quad * kQuadBytes, correction_stride = places_.back().block * block_groups;
  return SegmentTokens{scales_.size(), value_stride, correction_stride,
                       values_.data() + places_[index].quad * kQuadBytes,
                       corrections_.data() + places_[index].block * block_groups}
      .slice(first, count);
}

}  // namespace pyramidion
