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

  // Point `index` of P(4,k) is points()[base[k] + index], coordinate i in byte i.
  const uint32_t* points() const { return points_.data(); }
  // By pulses k: where P(4,k) starts, N(4,k), and 1 / N(4,k) rounded down enough that a float product with it, when
  // below 2^18, is never above the true quotient.
  alignas(64) uint32_t base[max_pulses + 1];
  alignas(64) uint32_t counts[max_pulses + 1];
  alignas(64) float reciprocals[max_pulses + 1];

 private:
  std::vector<uint32_t> points_;
};

}  // namespace pyramidion
