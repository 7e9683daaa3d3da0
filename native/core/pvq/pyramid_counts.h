// The pyramid P(D,K) = { p in Z^D : sum |p_i| = K }, its size N(D,K), and the tree order that numbers its points
// (docs/architecture.md, "PVQ rows"). This is the scalar reference; the kernels in native/cpu are tested against it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/pvq/point_index.h"

namespace pyramidion {

// N(D,K) and the tree order for one D = 1, 2, 4, ..., 32 and one K whose N(D,K) is below 2^64.
//
// Every node of the tree has dimension d = 2m and k pulses, of which the left half holds j:
//   index = offset(d,k,j) + index(left) N(m,k-j) + index(right),   offset(d,k,j) = sum_{t<j} N(m,t) N(m,k-t).
class PyramidCounts : public PointIndex {
 public:
  static constexpr int max_dimension = 32;
  // Coordinates are int16.
  static constexpr int max_pulses = 32767;

  // Throws Error INVALID_ARGUMENT when the dimension is not one of those above, pulses is outside 0..max_pulses, or
  // N(D,K) does not fit 64 bits.
  PyramidCounts(int dimension, int pulses);

  int dimension() const { return dimension_; }
  int pulses() const { return pulses_; }
  // N(D,K).
  uint64_t count() const override { return count_; }

  // N(d,k) for d = 1, 2, 4, ..., D/2 and 0 <= k <= K.
  uint64_t count(int d, int k) const;
  // offset(d,k,j) for 0 <= j <= k; k = K when d = D, any k <= K below.
  uint64_t offset(int d, int k, int j) const;
  // The largest j with offset(d,k,j) <= index: the pulses of the left half.
  int left_pulses(int d, int k, uint64_t index) const;

  bool contains(const int16_t* point) const override;
  uint64_t index_of(const int16_t* point) const override { return index_of(point, dimension_); }
  void point_of(uint64_t index, int16_t* point) const override { point_of(index, point, dimension_, pulses_); }

  // index_of for groups of D = 4, 8, 16 or 32 whose four-dimensional nodes are numbered already, node after node with
  // `count` groups each: their indices and how many pulses they have.
  void index_of_quads(const uint32_t* quad_indices, const uint32_t* quad_pulses, size_t count, uint64_t* indices) const;

  // The same in P(d,k) of one node of the tree; d and k as for count and offset.
  uint64_t index_of(const int16_t* point, int dimension) const;
  void point_of(uint64_t index, int16_t* point, int dimension, int pulses) const;

 private:
  template <int D>
  uint64_t index_of_tree(const int16_t* point) const;
  // From nodes of four dimensions up; overwrites both.
  template <int D>
  uint64_t index_above_quads(uint64_t* index, int* k) const;
  template <int D>
  void index_of_quads(const uint32_t* quad_indices, const uint32_t* quad_pulses, size_t count, uint64_t* indices) const;

  int dimension_, pulses_;
  uint64_t count_;
  // By log2(d), for d >= 8 (smaller ones have closed forms). counts_[.][k] = N(d,k).
  std::array<std::vector<uint64_t>, 6> counts_;
  // Rows k = 0..K of k + 1 offsets each, one after the other; for d = D the row k = K alone.
  std::array<std::vector<uint64_t>, 6> offsets_;
};

}  // namespace pyramidion
