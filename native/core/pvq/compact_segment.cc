#include "core/pvq/compact_segment.h"

#include <algorithm>

#include "core/pvq/bit_stream.h"
#include "cpu/expanded_product/dispatch.h"

namespace pyramidion {
namespace {

// Rows decoded at a time for integer products: their pulses stay in a core's first caches until they are multiplied.
constexpr size_t kRows = 4;

}  // namespace

CompactSegment::CompactSegment(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows,
                               InstructionSet set)
    : SegmentRows(code),
      kernel_(pvq_decode_kernel(code, set)),
      numbered_(with_numbered_levels(code)),
      pulses_kernel_(pvq_pulses_kernel(code, set)),
      set_(set),
      codes_(rows * code.bytes + pvq_read_ahead) {
  for (size_t row = 0; row < rows; ++row) {
    std::copy_n(codes + row * stride, code.bytes, codes_.data() + row * code.bytes);
  }
}

void CompactSegment::levels_of(size_t row, uint32_t* levels) const {
  const size_t bits = static_cast<size_t>(code_.bits);
  for (size_t g = 0; g < code_.groups; ++g) {
    levels[g] = static_cast<uint32_t>(read_code(at(row), g * bits, code_.bits) / code_.count());
  }
}

void CompactSegment::set_levels(const float* levels) {
  std::copy_n(levels, code_.levels.size(), code_.levels.begin());
  factors_.reset();
}

std::shared_ptr<const GroupFactors> CompactSegment::factors() const {
  std::lock_guard<std::mutex> lock(factors_mutex_);
  if (!factors_) factors_ = std::make_shared<GroupFactors>(code_);
  return factors_;
}

// Rows are expanded, a few at a time, and multiplied as such.
void CompactSegment::accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const {
  const size_t row_lanes = tokens.count * block_groups;
  if (!ExpandedRows::supports(code_)) {
    for (size_t i = 0; i < count; ++i) accumulate_groups(first + i, tokens, lanes + i * row_lanes);
    return;
  }
  ExpandedRows rows(code_, factors(), std::min(kRows, count));
  const ExpandedProductKernel& product = expanded_product_kernel(rows, set_);
  for (size_t i = 0; i < count; i += kRows) {
    const size_t part = std::min(kRows, count - i);
    for (size_t row = 0; row < part; ++row) {
      pulses_kernel_.decode(numbered_, at(first + i + row), rows.pulses.data() + rows.rows[row].pulses,
                            reinterpret_cast<uint16_t*>(rows.tags.data()) + row * rows.blocks * block_groups);
    }
    product.accumulate(rows, 0, part, tokens, lanes + i * row_lanes);
  }
}

void CompactSegment::accumulate_groups(size_t row, const SegmentTokens& tokens, float* lanes) const {
  const size_t bits = static_cast<size_t>(code_.bits), quads = static_cast<size_t>(quads_of(code_));
  for (size_t g = 0; g < code_.groups; ++g) {
    const uint64_t value = read_code(at(row), g * bits, code_.bits);
    int16_t point[PyramidCounts::max_dimension];
    code_.points->point_of(value % code_.count(), point);
    float square = 0;
    for (int i = 0; i < code_.dimension; ++i) square += static_cast<float>(point[i]) * point[i];
    const float factor = group_factor(code_.levels[value / code_.count()], square);
    const size_t lane = g % block_groups;
    for (size_t t = 0; t < tokens.count; ++t) {
      const int8_t* x = tokens.values + t * tokens.value_stride + (g / block_groups * quads * block_groups + lane) * 4;
      int dot = 0;
      for (int i = 0; i < code_.dimension; ++i) dot += point[i] * x[i / 4 * 64 + i % 4];
      lanes[t * block_groups + lane] += static_cast<float>(dot) * factor;
    }
  }
}

}  // namespace pyramidion
