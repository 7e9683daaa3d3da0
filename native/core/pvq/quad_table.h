// The points of P(4,k), k = 0..31, in tree order, each as four packed int8: where a decoder stops walking the tree.
#pragma once

#include <cstdint>
#include <vector>

namespace pyramidion {

class QuadTable {
 public:
  // 2.6 MB; real groups stay in the first few hundred kilobytes.
  static constexpr int max_pulses = 31;

  QuadTable();

  // Point `index` of P(4,k) is points()[base()[k] + index], coordinate i in byte i.
  const uint32_t* points() const { return points_.data(); }
  const uint32_t* base() const { return base_; }

 private:
  uint32_t base_[max_pulses + 1];
  std::vector<uint32_t> points_;
};

}  // namespace pyramidion
