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

void DecodedSegment::decode_rows(size_t first, size_t count, ExpandedRows& rows) const {
  for (size_t i = 0; i < count; ++i) decode_pulses(first + i, rows.row_pulses(i), rows.wide_levels(i));
}

void DecodedSegment::accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const {
  ExpandedRows rows(code_, factors(), std::min(kRows, count));
  const ExpandedProductKernel& product = expanded_product_kernel(rows, set_);
  for (size_t i = 0; i < count; i += kRows) {
    const size_t part = std::min(kRows, count - i);
    decode_rows(first + i, part, rows);
    product.accumulate(rows, 0, part, tokens, lanes + i * tokens.count * block_groups);
  }
}

bool DecodedSegment::fits_panels() const { return ExpandedRows::supports(code_) && GroupFactors::has_table(code_); }

void DecodedSegment::fill_panel(const PanelKernel& kernel, size_t first, size_t count, uint8_t* part) const {
  ExpandedRows rows(code_, factors(), count);
  decode_rows(first, count, rows);
  kernel.fill(rows, code_.groups, 0, count, part);
}

}  // namespace pyramidion
