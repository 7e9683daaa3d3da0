// One segment of all rows of a matrix, in one of its memory layouts.
#pragma once

#include <memory>

#include "core/pvq/integer_tokens.h"
#include "core/pvq/memory_layout.h"
#include "core/pvq/pvq_code.h"
#include "cpu/instruction_set.h"
#include "cpu/panel_product/dispatch.h"

namespace pyramidion {

class SegmentRows {
 public:
  virtual ~SegmentRows() = default;

  virtual MemoryLayout memory_layout() const = 0;
  virtual size_t bytes() const = 0;

  // The weights of a row: p * ((scale * level) / ||p||), the same floats from every layout. out: code.columns.
  virtual void decode(size_t row, float scale, float* out) const = 0;
  // The level of each group of a row.
  virtual void levels_of(size_t row, uint32_t* levels) const = 0;
  // Other values for the code's levels.
  virtual void set_levels(const float* levels) = 0;

  // Products with floats, at a row scale of 1: of rows as they are decoded, unless the layout has something better.
  // prepared is 64-byte aligned; prepared_size() is a multiple of 16.
  virtual size_t prepared_size() const;
  virtual void prepare(const float* x, float* prepared) const;
  virtual float dot(size_t row, const float* prepared) const;

  // Products with int8 tokens, added to `lanes`: row x token x 16 (integer_tokens.h).
  virtual void accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const = 0;

  // Whether rows can be brought into panels.
  virtual bool fits_panels() const = 0;
  // Rows [first, first + count), panel_rows at most, into a part of a panel.
  virtual void fill_panel(const PanelKernel& kernel, size_t first, size_t count, uint8_t* part) const = 0;

 protected:
  explicit SegmentRows(const PvqCode& code) : code_(code) {}

  PvqCode code_;
};

// codes: valid ones of `rows` rows, `stride` bytes apart, which are copied; pvq_read_ahead bytes must be readable
// behind the last. A layout that the code does not have becomes compact. set: the best instruction set to use.
std::unique_ptr<SegmentRows> make_segment_rows(MemoryLayout layout, const PvqCode& code, const uint8_t* codes,
                                               size_t stride, size_t rows, InstructionSet set, ThreadPool* pool);

}  // namespace pyramidion
