#include "core/pvq/segment_rows.h"

#include <algorithm>

#include "core/pvq/compact_segment.h"
#include "core/pvq/expanded_segment.h"
#include "core/pvq/packed_segment.h"
#include "core/pvq/patched_rows.h"
#include "core/pvq/residue_rows.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

using Signs = ResidueRows::Signs;

constexpr size_t kSampleRows = 16;
// What a layout may take beyond the stored codes, in bits a weight, and where the streams of a row start besides.
constexpr double kMostCompact = 0.1, kMostSplit = 0.47;
constexpr size_t kRowBytes = 8;

struct StoredCodes {
  const PvqCode& code;
  const uint8_t* codes;
  size_t stride, rows;
  InstructionSet set;
  ThreadPool* pool;
};

// make(step, rows, pool): the form of every step-th row, `rows` of them. Null where these take more than `most` beyond
// the stored codes, by a sample.
template <class Rows, class Make>
std::unique_ptr<SegmentRows> make_if_small(const StoredCodes& stored, MemoryLayout layout, double most,
                                           const Make& make) {
  // An odd step, lest rows that repeat by a power of two are sampled as one.
  const size_t count = std::min(kSampleRows, stored.rows), step = (stored.rows / std::max<size_t>(1, count) - 1) | 1;
  const double weights = static_cast<double>(count * stored.code.columns);
  const auto bytes = static_cast<double>(make(step, count, nullptr).bytes());
  if (8 * bytes > 8 * static_cast<double>(count * (stored.code.bytes + kRowBytes)) + most * weights) return nullptr;
  return std::make_unique<PackedSegment<Rows>>(stored.code, layout, make(1, stored.rows, stored.pool), stored.set);
}

std::unique_ptr<SegmentRows> make_patched(const StoredCodes& stored) {
  if (!PatchedRows::supports(stored.code)) return nullptr;
  return make_if_small<PatchedRows>(
      stored, MemoryLayout::split, kMostSplit, [&](size_t step, size_t rows, ThreadPool* pool) {
        return PatchedRows(stored.code, stored.codes, stored.stride * step, rows, stored.set, pool);
      });
}

std::unique_ptr<SegmentRows> make_residues(const StoredCodes& stored, MemoryLayout layout, Signs signs) {
  if (!ResidueRows::supports(stored.code)) return nullptr;
  return make_if_small<ResidueRows>(stored, layout, layout == MemoryLayout::split ? kMostSplit : kMostCompact,
                                    [&](size_t step, size_t rows, ThreadPool* pool) {
                                      return ResidueRows(stored.code, stored.codes, stored.stride * step, rows, signs,
                                                         stored.set, pool);
                                    });
}

// What is fastest of what fits; null where nothing does.
std::unique_ptr<SegmentRows> make_packed(const StoredCodes& stored, MemoryLayout layout) {
  std::unique_ptr<SegmentRows> rows;
  if (layout == MemoryLayout::split) rows = make_patched(stored);
  if (layout == MemoryLayout::split && !rows) rows = make_residues(stored, layout, Signs::all);
  if (!rows) rows = make_residues(stored, layout, Signs::nonzero);
  return rows;
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
    auto packed = make_packed({code, codes, stride, rows, set, pool}, layout);
    if (packed) return packed;
  }
  return std::make_unique<CompactSegment>(code, codes, stride, rows, set);
}

}  // namespace pyramidion
