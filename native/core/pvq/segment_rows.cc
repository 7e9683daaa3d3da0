#include "core/pvq/segment_rows.h"

#include <algorithm>

#include "core/pvq/compact_segment.h"
#include "core/pvq/expanded_segment.h"
#include "core/pvq/split_segment.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {

size_t SegmentRows::prepared_size() const { return (code_.columns + 15) / 16 * 16; }

void SegmentRows::prepare(const float* x, float* prepared) const { std::copy_n(x, code_.columns, prepared); }

float SegmentRows::dot(size_t row, const float* prepared) const {
  AlignedBuffer<float> values(code_.columns);
  decode(row, 1, values.data());
  return float_kernels().f32.dot(values.data(), prepared, code_.columns);
}

std::unique_ptr<SegmentRows> make_segment_rows(MemoryLayout layout, const PvqCode& code, const uint8_t* codes,
                                               size_t stride, size_t rows, InstructionSet set, ThreadPool* pool) {
  if (layout == MemoryLayout::expanded && ExpandedRows::supports(code)) {
    return std::make_unique<ExpandedSegment>(code, codes, stride, rows, set, pool);
  }
  if (layout == MemoryLayout::split && SplitRows::supports(code)) {
    return std::make_unique<SplitSegment>(code, codes, stride, rows, set, pool);
  }
  return std::make_unique<CompactSegment>(code, codes, stride, rows, set);
}

}  // namespace pyramidion
