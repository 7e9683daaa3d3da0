// The Barnes-Wall pyramid: the points x of the Barnes-Wall lattice (core/pvq/pyramid.h) in Z^16 with sum |x_i| = K, K
// even, numbered word by word of RM(1,4) so that signs, magnitudes and even coordinates decode apart. With T = (K-8)/2:
//
// - the 30 words with eight ones come first; w is the number of the word less 2. The magnitudes of the odd coordinates
//   are 2 c_i + 1, of the even ones 2 |e_i|, c a composition of t and e a point of P(8,T-t), 0 <= t <= T; the number of
//   negative odd coordinates has the parity of K/2, which is the condition on the sum:
//     index = (inner 30 + w) 2^7 + signs,   inner = offset(t) + rank(c) N(8,T-t) + index(e),
//     offset(t) = sum_{u<t} C(u+7,7) N(8,T-u);
//   bit i of `signs` is set where odd coordinate i, of the first seven, is negative;
// - word 0, where K is a multiple of 4: x = 2 p, by the index of p in P(16,K/2);
// - word 1, where K >= 16: rank(c) 2^15 + signs, c the composition of (K-16)/2 in 16 parts, the sixteenth sign as
//   above.
//
// The order within c and e is the tree order.
#pragma once

#include <vector>

#include "core/pvq/composition_counts.h"
#include "core/pvq/point_index.h"
#include "core/pvq/pyramid_counts.h"

namespace pyramidion {

class BarnesWallIndex : public PointIndex {
 public:
  static constexpr int dimension = 16;
  // Beyond this the points are more than 64 bits can number.
  static constexpr int max_pulses = 98;

  // Throws Error INVALID_ARGUMENT when pulses is odd or outside 2..max_pulses. Pyramids of 2 and 6 pulses are empty.
  explicit BarnesWallIndex(int pulses);

  uint64_t count() const override { return ones_first_ + ones_count_; }
  bool contains(const int16_t* point) const override;
  uint64_t index_of(const int16_t* point) const override;
  void point_of(uint64_t index, int16_t* point) const override;

  // T: what the coordinates of a word with eight ones have beyond the least, in steps of 2; negative where K < 8.
  int spare() const { return spare_; }
  // offset(0..T).
  const std::vector<uint64_t>& offsets() const { return offsets_; }
  // Where word 0 and word 1 begin.
  uint64_t zeros_first() const { return zeros_first_; }
  uint64_t ones_first() const { return ones_first_; }
  const CompositionCounts& compositions() const { return compositions_; }
  // P(16,K/2), and the halves of its tree.
  const PyramidCounts& halved() const { return halved_; }

 private:
  // Bits of the signs of all but the last of d odd coordinates.
  static uint64_t signs_of(const int* odd, int d);
  // Gives d magnitudes their signs, the last one by the condition on the sum.
  void apply_signs(uint64_t signs, int* odd, int d) const;

  int pulses_, spare_;
  CompositionCounts compositions_;
  PyramidCounts halved_;
  std::vector<uint64_t> offsets_;
  uint64_t zeros_first_ = 0, ones_first_ = 0, ones_count_ = 0;
};

}  // namespace pyramidion
