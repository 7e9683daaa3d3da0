// All nodes of four dimensions with k = 0..31 pulses, point by point in tree order, each point as four packed int8:
// where a decoder stops walking the tree.
#pragma once

#include <cstdint>
#include <vector>

namespace pyramidion {

class QuadTable {
 public:
  static constexpr int max_pulses = 31;

  // P(4,k): 2.6 MB; real groups stay in the first few hundred kilobytes.
  static QuadTable pyramids();
  // The magnitudes 2 c_i + 1 of the compositions c of k in four parts: 0.2 MB.
  static QuadTable odd_magnitudes();

  // Point `index` of k is points()[base[k] + index], coordinate i in byte i.
  const uint32_t* points() const { return points_.data(); }
  // By k: where its points start, how many there are, and 1 / counts[k] rounded down enough that a float product with
  // it, when below 2^18, is never above the true quotient.
  alignas(64) uint32_t base[max_pulses + 1];
  alignas(64) uint32_t counts[max_pulses + 1];
  alignas(64) float reciprocals[max_pulses + 1];

 private:
  // The points of two dimensions as 16 bits, by k; four dimensions are all pairs of them, in the order of the tree.
  using Pairs = std::vector<uint32_t>[max_pulses + 1];
  explicit QuadTable(const Pairs& pairs);

  std::vector<uint32_t> points_;
};

}  // namespace pyramidion
