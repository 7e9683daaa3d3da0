// The nodes of one dimension of a tree of halves, as arrays, for kernels that walk many trees at once. A node has k
// pulses (or the sum k of a composition), of which its left half gets j; the indices of that j start at offset(k,j),
// and
//   index = offset(k,j) + index(left) count(k-j) + index(right),   count: of the points of half a node.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace pyramidion {

struct TreeLevel {
  // Which k the nodes have: only the largest, or 0 to the largest.
  enum class Nodes { root, all };

  TreeLevel() = default;
  // offset: for 0 <= j <= k; half_count: for k = 0..largest.
  TreeLevel(Nodes nodes, int largest, const std::function<uint64_t(int k, int j)>& offset,
            const std::function<uint64_t(int k)>& half_count);

  // A row k has 2^row_shift > largest entries, 16 at least: offset(k,j) for j <= k, then 2^64 - 1. A root has only the
  // row of its k.
  int row_shift = 4;
  std::vector<uint64_t> offsets;
  // count(k) for k = 0..2^row_shift - 1, zero beyond the largest; and 1 / count(k) rounded down enough that a product
  // with it is never above the true quotient.
  std::vector<uint64_t> half_counts;
  std::vector<double> half_reciprocals;

  // For searches in registers, k <= 63; `count` is that of the points of a node with the largest k.
  void keep_leading_bits(uint64_t count);
  // Then offsets / 2^coarse_shift, below 2^31, and 2^32 - 1 beyond j = k. For a root coarse[j], 64 of them; otherwise
  // coarse[W j + k] with W = 32 for k <= 31, 64 above.
  int coarse_shift = 0;
  std::vector<uint32_t> coarse;

 private:
  Nodes nodes_ = Nodes::root;
  int largest_ = 0;
};

}  // namespace pyramidion
