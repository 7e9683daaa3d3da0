#include "core/pvq/segment_rows.h"

#include <algorithm>

#include "core/pvq/compact_segment.h"
#include "core/pvq/expanded_segment.h"
#include "core/pvq/residue_segment.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

using Signs = ResidueRows::Signs;

constexpr size_t kSampleRows = 16;
// What a layout may take beyond the stored codes, in bits a weight, and where the streams of a row start besides.
constexpr double kMostCompact = 0.1, kMostSplit = 0.45;
constexpr size_t kRowBytes = 8;

struct StoredCodes {
  const PvqCode& code;
  const uint8_t* codes;
  size_t stride, rows;
  InstructionSet set;
  ThreadPool* pool;
};

// By some rows, whether residue rows take no more than `most` beyond the stored codes.
bool fits(const StoredCodes& stored, Signs signs, double most) {
  const size_t count = std::min(kSampleRows, stored.rows), step = stored.rows / std::max<size_t>(1, count);
  const ResidueRows sample(stored.code, stored.codes, stored.stride * step, count, signs, stored.set, nullptr);
  const double weights = static_cast<double>(count * stored.code.columns);
  return 8 * static_cast<double>(sample.bytes()) <=
         8 * static_cast<double>(count * (stored.code.bytes + kRowBytes)) + most * weights;
}

std::unique_ptr<SegmentRows> make_residues(const StoredCodes& stored, MemoryLayout layout, Signs signs) {
  ResidueRows rows(stored.code, stored.codes, stored.stride, stored.rows, signs, stored.set, stored.pool);
  return std::make_unique<ResidueSegment>(stored.code, layout, std::move(rows), stored.set);
}

// Null where the code has no residue rows, or none that are small enough.
std::unique_ptr<SegmentRows> make_small_residues(const StoredCodes& stored, MemoryLayout layout) {
  if (!ResidueRows::supports(stored.code)) return nullptr;
  if (layout == MemoryLayout::split && fits(stored, Signs::all, kMostSplit)) {
    return make_residues(stored, layout, Signs::all);
  }
  const double most = layout == MemoryLayout::split ? kMostSplit : kMostCompact;
  return fits(stored, Signs::nonzero, most) ? make_residues(stored, layout, Signs::nonzero) : nullptr;
}

}  // namespace

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
  if (layout == MemoryLayout::split || layout == MemoryLayout::compact_integers) {
    auto residues = make_small_residues({code, codes, stride, rows, set, pool}, layout);
    if (residues) return residues;
  }
  return std::make_unique<CompactSegment>(code, codes, stride, rows, set);
}

}  // namespace pyramidion
