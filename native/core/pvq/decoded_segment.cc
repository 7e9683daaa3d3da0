#include "core/pvq/decoded_segment.h"

#include <algorithm>

#include "cpu/expanded_product/dispatch.h"

namespace pyramidion {
namespace {

// Rows decoded at a time: their pulses stay in a core's first caches until they are multiplied.
constexpr size_t kRows = 4;

}  // namespace

void DecodedSegment::set_levels(const float* levels) {
  std::copy_n(levels, code_.levels.size(), code_.levels.begin());
  factors_.reset();
}

std::shared_ptr<const GroupFactors> DecodedSegment::factors() const {
  std::lock_guard<std::mutex> lock(factors_mutex_);
  if (!factors_) factors_ = std::make_shared<GroupFactors>(code_);
  return factors_;
}

void DecodedSegment::accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const {
  ExpandedRows rows(code_, factors(), std::min(kRows, count));
  const ExpandedProductKernel& product = expanded_product_kernel(rows, set_);
  for (size_t i = 0; i < count; i += kRows) {
    const size_t part = std::min(kRows, count - i);
    for (size_t row = 0; row < part; ++row) {
      decode_pulses(first + i + row, rows.row_pulses(row), rows.wide_levels(row));
    }
    product.accumulate(rows, 0, part, tokens, lanes + i * tokens.count * block_groups);
  }
}

}  // namespace pyramidion
