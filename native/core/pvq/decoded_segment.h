// Memory layouts whose rows are decoded, a few at a time, into pulses and multiplied as expanded ones.
#pragma once

#include <memory>
#include <mutex>

#include "core/pvq/expanded_rows.h"
#include "core/pvq/segment_rows.h"

namespace pyramidion {

class DecodedSegment : public SegmentRows {
 public:
  void set_levels(const float* levels) override;
  void accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const override;
  bool fits_panels() const override;
  void fill_panel(const PanelKernel& kernel, size_t first, size_t count, uint8_t* part) const override;

 protected:
  DecodedSegment(const PvqCode& code, InstructionSet set) : SegmentRows(code), set_(set) {}

  // As PvqPulsesKernel.
  virtual void decode_pulses(size_t row, uint8_t* pulses, uint16_t* levels) const = 0;

 private:
  // Rows [first, first + count), expanded.
  void decode_rows(size_t first, size_t count, ExpandedRows& rows) const;
  std::shared_ptr<const GroupFactors> factors() const;

  InstructionSet set_;
  // Made when they are first needed, which with float activations is never.
  mutable std::mutex factors_mutex_;
  mutable std::shared_ptr<const GroupFactors> factors_;
};

}  // namespace pyramidion
