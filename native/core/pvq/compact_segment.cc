#include "core/pvq/compact_segment.h"

#include <algorithm>
#include <cmath>

#include "core/pvq/bit_stream.h"

namespace pyramidion {
CompactSegment::CompactSegment(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows,
                               InstructionSet set)
    : DecodedSegment(code, set),
      kernel_(pvq_decode_kernel(code, set)),
      numbered_(with_numbered_levels(code)),
      pulses_kernel_(pvq_pulses_kernel(code, set)),
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

void CompactSegment::accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const {
  if (ExpandedRows::supports(code_)) return DecodedSegment::accumulate(first, count, tokens, lanes);
  for (size_t i = 0; i < count; ++i) accumulate_groups(first + i, tokens, lanes + i * tokens.count * block_groups);
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
      float& sum = lanes[t * block_groups + lane];
      sum = std::fma(static_cast<float>(dot), factor, sum);
    }
  }
}

}  // namespace pyramidion
