// Decoding group by group, for any processor.
#include <algorithm>
#include <cmath>

#include "core/pvq/bit_stream.h"
#include "cpu/pvq_decode/barnes_wall_point.h"
#include "cpu/pvq_decode/dispatch.h"
#include "cpu/pvq_decode/tree_point.h"

namespace pyramidion {
namespace {

// Where the points of a group come from.
template <int D>
struct IntegerPoints {
  static constexpr int dimension = D;
  static void decode(const PvqCode& code, uint64_t index, float* p) {
    decode_point<D>(*code.tables, code.pulses, index, p);
  }
};

struct BarnesWallPoints {
  static constexpr int dimension = 16;
  static void decode(const PvqCode& code, uint64_t index, float* p) {
    decode_barnes_wall_point(*code.barnes_wall, index, p);
  }
};

// Decodes the groups of a row one after the other.
template <class Points>
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
    Points::decode(code_, index, p);
    float square = 0;
    for (int i = 0; i < Points::dimension; ++i) square += p[i] * p[i];
    return scale * code_.levels[level] / std::sqrt(square);
  }

 private:
  const PvqCode& code_;
  const uint8_t* codes_;
  uint64_t count_;
  double reciprocal_;
  size_t position_ = 0;
};

template <class Points>
float dot(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  constexpr int D = Points::dimension;
  GroupReader<Points> reader(code, codes);
  float total = 0;
  for (size_t g = 0; g < code.groups; ++g) {
    float p[D], sum = 0;
    const float factor = reader.read(1, p);
    for (int i = 0; i < D; ++i) sum += p[i] * prepared[g * D + i];
    total += factor * sum;
  }
  return total;
}

template <class Points>
void decode(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  constexpr int D = Points::dimension;
  GroupReader<Points> reader(code, codes);
  for (size_t g = 0; g < code.groups; ++g) {
    float p[D];
    const float factor = reader.read(scale, p);
    const size_t count = std::min<size_t>(D, code.columns - g * D);
    for (size_t i = 0; i < count; ++i) out[g * D + i] = p[i] * factor;
  }
}

float dot_any(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  if (code.lattice == Lattice::barnes_wall) return dot<BarnesWallPoints>(code, codes, prepared);
  switch (code.dimension) {
    case 2:
      return dot<IntegerPoints<2>>(code, codes, prepared);
    case 4:
      return dot<IntegerPoints<4>>(code, codes, prepared);
    case 8:
      return dot<IntegerPoints<8>>(code, codes, prepared);
    case 16:
      return dot<IntegerPoints<16>>(code, codes, prepared);
    default:
      return dot<IntegerPoints<32>>(code, codes, prepared);
  }
}

void decode_any(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  if (code.lattice == Lattice::barnes_wall) return decode<BarnesWallPoints>(code, codes, scale, out);
  switch (code.dimension) {
    case 2:
      return decode<IntegerPoints<2>>(code, codes, scale, out);
    case 4:
      return decode<IntegerPoints<4>>(code, codes, scale, out);
    case 8:
      return decode<IntegerPoints<8>>(code, codes, scale, out);
    case 16:
      return decode<IntegerPoints<16>>(code, codes, scale, out);
    default:
      return decode<IntegerPoints<32>>(code, codes, scale, out);
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
