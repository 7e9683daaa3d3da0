// Decoding group by group, for any processor.
#include <algorithm>
#include <cmath>

#include "cpu/pvq_decode/dispatch.h"
#include "cpu/pvq_decode/group_reader.h"

namespace pyramidion {
namespace {

// use(group, its pulses, scale * level / ||p||) for all groups.
template <class Points, class Use>
void for_groups(const PvqCode& code, const uint8_t* codes, float scale, const Use& use) {
  GroupReader<Points> reader(code, codes);
  for (size_t g = 0; g < code.groups; ++g) {
    float p[Points::dimension], square = 0;
    const uint64_t level = reader.read(p);
    for (float pulse : p) square += pulse * pulse;
    use(g, p, scale * code.levels[level] / std::sqrt(square));
  }
}

float dot(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  return with_points(code, [&](auto points) {
    using Points = decltype(points);
    constexpr size_t D = Points::dimension;
    float total = 0;
    for_groups<Points>(code, codes, 1, [&](size_t g, const float* p, float factor) {
      float sum = 0;
      for (size_t i = 0; i < D; ++i) sum += p[i] * prepared[g * D + i];
      total += factor * sum;
    });
    return total;
  });
}

void decode(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  with_points(code, [&](auto points) {
    using Points = decltype(points);
    constexpr size_t D = Points::dimension;
    for_groups<Points>(code, codes, scale, [&](size_t g, const float* p, float factor) {
      const size_t count = std::min(D, code.columns - g * D);
      for (size_t i = 0; i < count; ++i) out[g * D + i] = p[i] * factor;
    });
  });
}

bool supports(const PvqCode&) { return true; }

size_t prepared_size(const PvqCode& code) { return (code.groups * code.dimension + 15) / 16 * 16; }

void prepare(const PvqCode& code, const float* x, float* prepared) {
  std::copy_n(x, code.columns, prepared);
  std::fill(prepared + code.columns, prepared + prepared_size(code), 0.0f);
}

}  // namespace

extern const PvqDecodeKernel pvq_decode_portable = {
    InstructionSet::portable, supports, prepared_size, prepare, dot, decode};

}  // namespace pyramidion
