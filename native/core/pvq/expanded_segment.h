// The memory layout `expanded`: pulses (expanded_rows.h).
#pragma once

#include "core/pvq/expanded_rows.h"
#include "core/pvq/segment_rows.h"
#include "cpu/expanded_product/dispatch.h"

namespace pyramidion {

class ExpandedSegment : public SegmentRows {
 public:
  ExpandedSegment(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set,
                  ThreadPool* pool)
      : SegmentRows(code), rows_(code, codes, stride, rows, set, pool), kernel_(expanded_product_kernel(rows_, set)) {}

  MemoryLayout memory_layout() const override { return MemoryLayout::expanded; }
  size_t bytes() const override { return rows_.bytes(); }
  void decode(size_t row, float scale, float* out) const override;
  void levels_of(size_t row, uint32_t* levels) const override;
  void set_levels(const float* levels) override;
  void accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const override {
    kernel_.accumulate(rows_, first, count, tokens, lanes);
  }
  bool fits_panels() const override { return GroupFactors::has_table(code_); }
  void fill_panel(const PanelKernel& kernel, size_t first, size_t count, uint8_t* part) const override {
    kernel.fill(rows_, code_.groups, first, count, part);
  }

 private:
  ExpandedRows rows_;
  const ExpandedProductKernel& kernel_;
};

}  // namespace pyramidion
