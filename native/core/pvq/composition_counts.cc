#include "core/pvq/composition_counts.h"

#include <numeric>

namespace pyramidion {

CompositionCounts::CompositionCounts(int most) {
  counts_[0].assign(most + 1, 1);
  for (int d = 2; d <= max_parts; d *= 2) {
    for (int k = 0; k <= most; ++k) {
      uint64_t sum = 0;
      for (int j = 0; j <= k; ++j) {
        offsets_[log2_of(d)].push_back(sum);
        sum += count(d / 2, j) * count(d / 2, k - j);
      }
      counts_[log2_of(d)].push_back(sum);
    }
  }
}

uint64_t CompositionCounts::rank_of(const int* parts, int d) const {
  if (d == 1) return 0;
  const int half = d / 2;
  const int left = std::accumulate(parts, parts + half, 0), right = std::accumulate(parts + half, parts + d, 0);
  return offset(d, left + right, left) + rank_of(parts, half) * count(half, right) + rank_of(parts + half, half);
}

void CompositionCounts::parts_of(uint64_t rank, int d, int k, int* parts) const {
  if (d == 1) {
    parts[0] = k;
    return;
  }
  const int half = d / 2;
  int j = k;
  while (offset(d, k, j) > rank) --j;
  const uint64_t rest = rank - offset(d, k, j), right = count(half, k - j);
  parts_of(rest / right, half, j, parts);
  parts_of(rest % right, half, k - j, parts + half);
}

}  // namespace pyramidion
