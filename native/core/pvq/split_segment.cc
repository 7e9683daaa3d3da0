#include "core/pvq/split_segment.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace pyramidion {

void SplitSegment::decode(size_t row, float scale, float* out) const {
  const size_t dimension = static_cast<size_t>(code_.dimension);
  AlignedBuffer<uint8_t> pulses(blocks_of(code_) * block_groups * dimension);
  std::vector<uint16_t> levels(blocks_of(code_) * block_groups);
  decode_pulses(row, pulses.data(), levels.data());
  for (size_t g = 0; g < code_.groups; ++g) {
    const uint8_t* lane = pulses.data() + g / block_groups * block_groups * dimension + g % block_groups * 4;
    const auto pulse = [lane](size_t i) { return static_cast<float>(lane[i / 4 * 64 + i % 4] - 128); };
    float square = 0;
    for (size_t i = 0; i < dimension; ++i) square += pulse(i) * pulse(i);
    const float factor = scale * code_.levels[levels[g]] / std::sqrt(square);
    for (size_t i = 0; i < std::min(dimension, code_.columns - g * dimension); ++i) {
      out[g * dimension + i] = pulse(i) * factor;
    }
  }
}

void SplitSegment::levels_of(size_t row, uint32_t* levels) const {
  AlignedBuffer<uint8_t> pulses(blocks_of(code_) * block_groups * static_cast<size_t>(code_.dimension));
  std::vector<uint16_t> all(blocks_of(code_) * block_groups);
  decode_pulses(row, pulses.data(), all.data());
  std::copy_n(all.begin(), code_.groups, levels);
}

}  // namespace pyramidion
