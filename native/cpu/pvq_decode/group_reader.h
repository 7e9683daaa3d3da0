// The groups of a row one after the other, for the portable decoders.
#pragma once

#include "core/pvq/bit_stream.h"
#include "cpu/pvq_decode/barnes_wall_point.h"
#include "cpu/pvq_decode/tree_point.h"

namespace pyramidion {
namespace {

// Where the points of a group come from.
template <int D>
struct IntegerPoints {
  static constexpr int dimension = D;
  template <class Pulse>
  static void decode(const PvqCode& code, uint64_t index, Pulse* p) {
    decode_point<D>(*code.tables, code.pulses, index, p);
  }
};

struct BarnesWallPoints {
  static constexpr int dimension = 16;
  template <class Pulse>
  static void decode(const PvqCode& code, uint64_t index, Pulse* p) {
    decode_barnes_wall_point(*code.barnes_wall, index, p);
  }
};

// use(points), those of the code.
template <class Use>
auto with_points(const PvqCode& code, const Use& use) {
  if (code.lattice == Lattice::barnes_wall) return use(BarnesWallPoints());
  switch (code.dimension) {
    case 2:
      return use(IntegerPoints<2>());
    case 4:
      return use(IntegerPoints<4>());
    case 8:
      return use(IntegerPoints<8>());
    case 16:
      return use(IntegerPoints<16>());
    default:
      return use(IntegerPoints<32>());
  }
}

template <class Points>
class GroupReader {
 public:
  GroupReader(const PvqCode& code, const uint8_t* codes)
      : code_(code),
        codes_(codes),
        count_(code.count()),
        reciprocal_((1 - 0x1p-50) / static_cast<double>(code.count())) {}

  // The next group's pulses; returns its level.
  template <class Pulse>
  uint64_t read(Pulse* p) {
    uint64_t index;
    const uint64_t level = divide(read_code(codes_, position_, code_.bits), count_, reciprocal_, &index);
    position_ += static_cast<size_t>(code_.bits);
    Points::decode(code_, index, p);
    return level;
  }

 private:
  const PvqCode& code_;
  const uint8_t* codes_;
  uint64_t count_;
  double reciprocal_;
  size_t position_ = 0;
};

}  // namespace
}  // namespace pyramidion
