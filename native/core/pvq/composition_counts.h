// The compositions of k in d parts, d integers not below zero that sum to k, and the tree order that numbers them: as
// that of pyramids (pyramid_counts.h), halves of m = d/2 parts with j in the left one,
//   rank = offset(d,k,j) + rank(left) C(k-j+m-1, m-1) + rank(right),
//   offset(d,k,j) = sum_{t<j} C(t+m-1, m-1) C(k-t+m-1, m-1).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace pyramidion {

class CompositionCounts {
 public:
  static constexpr int max_parts = 16;

  // Compositions of 0..most, in 1, 2, 4, 8 or 16 parts; most: 0 to 45, where every count fits 64 bits.
  explicit CompositionCounts(int most);

  // C(k+d-1, d-1).
  uint64_t count(int d, int k) const { return counts_[log2_of(d)][k]; }
  // d >= 2, 0 <= j <= k.
  uint64_t offset(int d, int k, int j) const { return offsets_[log2_of(d)][k * (k + 1) / 2 + j]; }
  // offset(d,k,0..k).
  const uint64_t* offsets(int d, int k) const { return &offsets_[log2_of(d)][k * (k + 1) / 2]; }

  // parts: d of them.
  uint64_t rank_of(const int* parts, int d) const;
  // rank < count(d,k); parts: d of them, which will sum to k.
  void parts_of(uint64_t rank, int d, int k, int* parts) const;

 private:
  static int log2_of(int d) { return __builtin_ctz(static_cast<unsigned>(d)); }

  std::array<std::vector<uint64_t>, 5> counts_, offsets_;
};

}  // namespace pyramidion
