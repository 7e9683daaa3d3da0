// The memory layouts `split` and `compact` of codes that have them (residue_rows.h).
#pragma once

#include "core/pvq/decoded_segment.h"
#include "core/pvq/residue_rows.h"
#include "cpu/residue_product/dispatch.h"

namespace pyramidion {

class ResidueSegment : public DecodedSegment {
 public:
  // layout: what it is called.
  ResidueSegment(const PvqCode& code, MemoryLayout layout, ResidueRows rows, InstructionSet set);

  MemoryLayout memory_layout() const override { return layout_; }
  size_t bytes() const override { return rows_.bytes(); }
  void decode(size_t row, float scale, float* out) const override;
  void levels_of(size_t row, uint32_t* levels) const override;
  void set_levels(const float* levels) override;
  void accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const override;

 private:
  void decode_pulses(size_t row, uint8_t* pulses, uint16_t* levels) const override {
    kernel_.decode(rows_, row, pulses, levels);
  }

  const MemoryLayout layout_;
  const ResidueRows rows_;
  const ResidueProductKernel& kernel_;
  // Of symbols in place of levels.
  std::unique_ptr<const GroupFactors> symbol_factors_;
};

}  // namespace pyramidion
