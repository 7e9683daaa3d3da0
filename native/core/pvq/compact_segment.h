// The memory layout `compact`: codes as stored.
#pragma once

#include <vector>

#include "core/pvq/decoded_segment.h"
#include "cpu/pvq_decode/dispatch.h"
#include "cpu/pvq_pulses/dispatch.h"

namespace pyramidion {

class CompactSegment : public DecodedSegment {
 public:
  CompactSegment(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set);

  MemoryLayout memory_layout() const override { return MemoryLayout::compact; }
  size_t bytes() const override { return codes_.size(); }
  void decode(size_t row, float scale, float* out) const override { kernel_.decode(code_, at(row), scale, out); }
  void levels_of(size_t row, uint32_t* levels) const override;
  size_t prepared_size() const override { return kernel_.prepared_size(code_); }
  void prepare(const float* x, float* prepared) const override { kernel_.prepare(code_, x, prepared); }
  float dot(size_t row, const float* prepared) const override { return kernel_.dot(code_, at(row), prepared); }
  void accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const override;

 private:
  void decode_pulses(size_t row, uint8_t* pulses, uint16_t* levels) const override {
    pulses_kernel_.decode(numbered_, at(row), pulses, levels);
  }
  // Group by group, for codes that expanded rows do not support.
  void accumulate_groups(size_t row, const SegmentTokens& tokens, float* lanes) const;
  const uint8_t* at(size_t row) const { return codes_.data() + row * code_.bytes; }

  const PvqDecodeKernel& kernel_;
  const PvqCode numbered_;
  const PvqPulsesKernel& pulses_kernel_;
  // With pvq_read_ahead bytes at the end.
  std::vector<uint8_t> codes_;
};

}  // namespace pyramidion
