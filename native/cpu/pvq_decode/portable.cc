// Decoding group by group, for any processor: the tree is walked from the top, each node with a binary search and a
// division, down to four dimensions, where a table holds the points, or to two, where a closed form does.
#include <algorithm>
#include <cmath>

#include "core/pvq/bit_stream.h"
#include "cpu/pvq_decode/dispatch.h"

namespace pyramidion {
namespace {

// Points of P(2,k) in tree order: one with j = 0 for each sign of the right, four for each 0 < j < k, two with j = k.
// So index + 2 is 4 j and two sign bits, of which the left one is the lower when there is nothing on the right.
void decode_pair(int k, uint64_t index, float* p) {
  const uint64_t shifted = index + 2;
  const int j = static_cast<int>(shifted / 4), right = k - j;
  const bool left_negative = right == 0 ? shifted % 2 != 0 : shifted / 2 % 2 != 0;
  p[0] = static_cast<float>(left_negative ? -j : j);
  p[1] = static_cast<float>(shifted % 2 != 0 ? -right : right);
}

// value / divisor and what remains, by a reciprocal as in PyramidTables: right, or one too small and then corrected.
uint64_t divide(uint64_t value, uint64_t divisor, double reciprocal, uint64_t* rest) {
  const uint64_t quotient = static_cast<uint64_t>(static_cast<double>(value) * reciprocal);
  const uint64_t remainder = value - quotient * divisor;
  const bool low = remainder >= divisor;
  *rest = low ? remainder - divisor : remainder;
  return low ? quotient + 1 : quotient;
}

template <int D>
void decode_point(const PyramidTables& tables, int k, uint64_t index, float* p) {
  const PyramidCounts& counts = tables.counts;
  if constexpr (D == 2) {
    decode_pair(k, index, p);
  } else if (D == 4 && k <= QuadTable::max_pulses) {
    const uint32_t packed = tables.quads->points()[tables.quads->base[k] + index];
    for (int i = 0; i < 4; ++i) p[i] = static_cast<float>(static_cast<int8_t>(packed >> (8 * i)));
  } else if constexpr (D == 4) {
    const int j = counts.left_pulses(4, k, index);
    const uint64_t rest = index - counts.offset(4, k, j), right = counts.count(2, k - j);
    decode_pair(j, rest / right, p);
    decode_pair(k - j, rest % right, p + 2);
  } else {
    const PyramidTables::Level& level = tables.level(D);
    const uint64_t* row = level.offsets.data();
    if (D < counts.dimension()) row += static_cast<size_t>(k) << level.row_shift;
    int j = 0;
    for (int step = 1 << (level.row_shift - 1); step > 0; step /= 2) j += row[j + step] <= index ? step : 0;
    uint64_t right;
    const uint64_t left = divide(index - row[j], level.half_counts[k - j], level.half_reciprocals[k - j], &right);
    decode_point<D / 2>(tables, j, left, p);
    decode_point<D / 2>(tables, k - j, right, p + D / 2);
  }
}

// Decodes the groups of a row one after the other.
template <int D>
class GroupReader {
 public:
  GroupReader(const PvqCode& code, const uint8_t* codes)
      : code_(code),
        codes_(codes),
        count_(code.count()),
        reciprocal_((1 - 0x1p-50) / static_cast<double>(code.count())) {}

  // The next group's pulses; returns scale * level / ||p||.
  float read(float scale, float* p) {
    uint64_t index;
    const uint64_t level = divide(read_code(codes_, position_, code_.bits), count_, reciprocal_, &index);
    position_ += code_.bits;
    decode_point<D>(*code_.tables, code_.pulses, index, p);
    float square = 0;
    for (int i = 0; i < D; ++i) square += p[i] * p[i];
    return scale * code_.levels[level] / std::sqrt(square);
  }

 private:
  const PvqCode& code_;
  const uint8_t* codes_;
  uint64_t count_;
  double reciprocal_;
  size_t position_ = 0;
};

template <int D>
float dot(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  GroupReader<D> reader(code, codes);
  float total = 0;
  for (size_t g = 0; g < code.groups; ++g) {
    float p[D], sum = 0;
    const float factor = reader.read(1, p);
    for (int i = 0; i < D; ++i) sum += p[i] * prepared[g * D + i];
    total += factor * sum;
  }
  return total;
}

template <int D>
void decode(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  GroupReader<D> reader(code, codes);
  for (size_t g = 0; g < code.groups; ++g) {
    float p[D];
    const float factor = reader.read(scale, p);
    const size_t count = std::min<size_t>(D, code.columns - g * D);
    for (size_t i = 0; i < count; ++i) out[g * D + i] = p[i] * factor;
  }
}

float dot_any(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  switch (code.dimension) {
    case 2:
      return dot<2>(code, codes, prepared);
    case 4:
      return dot<4>(code, codes, prepared);
    case 8:
      return dot<8>(code, codes, prepared);
    case 16:
      return dot<16>(code, codes, prepared);
    default:
      return dot<32>(code, codes, prepared);
  }
}

void decode_any(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  switch (code.dimension) {
    case 2:
      return decode<2>(code, codes, scale, out);
    case 4:
      return decode<4>(code, codes, scale, out);
    case 8:
      return decode<8>(code, codes, scale, out);
    case 16:
      return decode<16>(code, codes, scale, out);
    default:
      return decode<32>(code, codes, scale, out);
  }
}

bool supports(const PvqCode&) { return true; }

size_t prepared_size(const PvqCode& code) { return (code.groups * code.dimension + 15) / 16 * 16; }

void prepare(const PvqCode& code, const float* x, float* prepared) {
  std::copy_n(x, code.columns, prepared);
  std::fill(prepared + code.columns, prepared + prepared_size(code), 0.0f);
}

}  // namespace

extern const PvqDecodeKernel pvq_decode_portable = {
    InstructionSet::portable, supports, prepared_size, prepare, dot_any, decode_any};

}  // namespace pyramidion
