#include "core/pvq/tree_level.h"

#include <limits>

namespace pyramidion {
namespace {

// What no index reaches.
constexpr uint64_t no_offset = std::numeric_limits<uint64_t>::max();
constexpr uint32_t no_offset32 = std::numeric_limits<uint32_t>::max();

}  // namespace

TreeLevel::TreeLevel(Nodes nodes, int largest, const std::function<uint64_t(int k, int j)>& offset,
                     const std::function<uint64_t(int k)>& half_count)
    : nodes_(nodes), largest_(largest) {
  while ((1 << row_shift) <= largest) ++row_shift;
  const int width = 1 << row_shift;
  for (int k = nodes == Nodes::root ? largest : 0; k <= largest; ++k) {
    for (int j = 0; j < width; ++j) offsets.push_back(j <= k ? offset(k, j) : no_offset);
  }
  for (int k = 0; k < width; ++k) {
    const uint64_t count = k <= largest ? half_count(k) : 0;
    half_counts.push_back(count);
    // 2^-50 outweighs the three roundings of a quotient: of its argument, of this reciprocal and of their product.
    half_reciprocals.push_back(count == 0 ? 0 : (1 - 0x1p-50) / static_cast<double>(count));
  }
}

void TreeLevel::keep_leading_bits(uint64_t count) {
  while ((count - 1) >> coarse_shift >= uint64_t{1} << 31) ++coarse_shift;
  const bool root = nodes_ == Nodes::root;
  const int places = largest_ < 32 && !root ? 32 : 64;
  for (int j = 0; j < places; ++j) {
    for (int k = root ? largest_ : 0; k < (root ? largest_ + 1 : places); ++k) {
      const size_t row = root ? 0 : static_cast<size_t>(k) << row_shift;
      const bool inside = k <= largest_ && j <= k;
      coarse.push_back(inside ? static_cast<uint32_t>(offsets[row + j] >> coarse_shift) : no_offset32);
    }
  }
}

}  // namespace pyramidion
