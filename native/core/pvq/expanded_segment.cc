#include "core/pvq/expanded_segment.h"

#include <algorithm>
#include <cmath>

namespace pyramidion {

void ExpandedSegment::decode(size_t row, float scale, float* out) const {
  ExpandedReader reader(rows_, row);
  const size_t dimension = static_cast<size_t>(code_.dimension), width = 4 * static_cast<size_t>(rows_.quads);
  for (size_t b = 0; b < rows_.blocks; ++b) {
    int8_t pulses[block_groups * PyramidCounts::max_dimension];
    uint32_t tags[block_groups];
    reader.next(pulses, tags);
    for (size_t g = b * block_groups; g < std::min(code_.groups, (b + 1) * block_groups); ++g) {
      const int8_t* p = pulses + g % block_groups * width;
      float square = 0;
      for (size_t i = 0; i < dimension; ++i) square += static_cast<float>(p[i] * p[i]);
      const float factor = scale * code_.levels[rows_.level(tags[g % block_groups])] / std::sqrt(square);
      const size_t count = std::min(dimension, code_.columns - g * dimension);
      for (size_t i = 0; i < count; ++i) out[g * dimension + i] = static_cast<float>(p[i]) * factor;
    }
  }
}

void ExpandedSegment::levels_of(size_t row, uint32_t* levels) const {
  ExpandedReader reader(rows_, row);
  for (size_t b = 0; b < rows_.blocks; ++b) {
    int8_t pulses[block_groups * PyramidCounts::max_dimension];
    uint32_t tags[block_groups];
    reader.next(pulses, tags);
    for (size_t g = b * block_groups; g < std::min(code_.groups, (b + 1) * block_groups); ++g) {
      levels[g] = rows_.level(tags[g % block_groups]);
    }
  }
}

void ExpandedSegment::set_levels(const float* levels) {
  std::copy_n(levels, code_.levels.size(), code_.levels.begin());
  rows_.factors = std::make_shared<GroupFactors>(code_);
}

}  // namespace pyramidion
