// The memory layouts `split` and `compact` of codes that have a form which is decoded in registers: residue_rows.h and
// patched_rows.h.
#pragma once

#include <vector>

#include "core/pvq/decoded_segment.h"
#include "cpu/packed_product/dispatch.h"

namespace pyramidion {

template <class Rows>
class PackedSegment : public DecodedSegment {
 public:
  // layout: what it is called; set: the best instruction set to use.
  PackedSegment(const PvqCode& code, MemoryLayout layout, Rows rows, InstructionSet set);

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
  const Rows rows_;
  const PackedProductKernel<Rows>& kernel_;
  // Of symbols in place of levels.
  std::unique_ptr<const GroupFactors> factors_;
};

}  // namespace pyramidion
