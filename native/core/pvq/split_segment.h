// The memory layout `split` (split_rows.h).
#pragma once

#include "core/pvq/decoded_segment.h"
#include "core/pvq/split_rows.h"
#include "cpu/split_pulses/dispatch.h"

namespace pyramidion {

class SplitSegment : public DecodedSegment {
 public:
  SplitSegment(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set,
               ThreadPool* pool)
      : DecodedSegment(code, set), rows_(code, codes, stride, rows, set, pool), kernel_(split_pulses_kernel(set)) {}

  MemoryLayout memory_layout() const override { return MemoryLayout::split; }
  size_t bytes() const override { return rows_.bytes(); }
  void decode(size_t row, float scale, float* out) const override;
  void levels_of(size_t row, uint32_t* levels) const override;

 private:
  void decode_pulses(size_t row, uint8_t* pulses, uint16_t* levels) const override {
    kernel_.decode(rows_, row, pulses, levels);
  }

  SplitRows rows_;
  const SplitPulsesKernel& kernel_;
};

}  // namespace pyramidion
