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

template <int D>
void decode_point(const PyramidTables& tables, int k, uint64_t index, float* p) {
  const PyramidCounts& counts = tables.counts;
  if constexpr (D == 2) {
    decode_pair(k, index, p);
  } else if (D == 4 && k <= QuadTable::max_pulses) {
    const uint32_t packed = tables.quads->points()[tables.quads->base[k] + index];
    for (int i = 0; i < 4; ++i) p[i] = static_cast<float>(static_cast<int8_t>(packed >> (8 * i)));
  } else {
    const int j = counts.left_pulses(D, k, index);
    const uint64_t rest = index - counts.offset(D, k, j), right = counts.count(D / 2, k - j);
    decode_point<D / 2>(tables, j, rest / right, p);
    decode_point<D / 2>(tables, k - j, rest % right, p + D / 2);
  }
}

// A group's pulses, and its level over the point's norm.
template <int D>
float decode_group(const PvqCode& code, uint64_t value, float scale, float* p) {
  const uint64_t level = value / code.count();
  decode_point<D>(*code.tables, code.pulses, value - level * code.count(), p);
  float square = 0;
  for (int i = 0; i < D; ++i) square += p[i] * p[i];
  return scale * code.levels[level] / std::sqrt(square);
}

template <int D>
float dot(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  float total = 0;
  for (size_t g = 0; g < code.groups; ++g) {
    float p[D], sum = 0;
    const float factor = decode_group<D>(code, read_code(codes, g * code.bits, code.bits), 1, p);
    for (int i = 0; i < D; ++i) sum += p[i] * prepared[g * D + i];
    total += factor * sum;
  }
  return total;
}

template <int D>
void decode(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  for (size_t g = 0; g < code.groups; ++g) {
    float p[D];
    const float factor = decode_group<D>(code, read_code(codes, g * code.bits, code.bits), scale, p);
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
