// Group by group, for any processor.
#include "core/pvq/bit_stream.h"
#include "core/pvq/integer_tokens.h"
#include "cpu/pvq_pulses/dispatch.h"

namespace pyramidion {
namespace {

bool supports(const PvqCode&) { return true; }

void decode(const PvqCode& code, const uint8_t* codes, uint8_t* pulses, uint16_t* levels) {
  const size_t quads = static_cast<size_t>(quads_of(code));
  for (size_t g = 0; g < code.groups; ++g) {
    const uint64_t value = read_code(codes, g * static_cast<size_t>(code.bits), code.bits);
    int16_t point[PyramidCounts::max_dimension] = {};
    code.points->point_of(value % code.count(), point);
    levels[g] = static_cast<uint16_t>(value / code.count());
    uint8_t* lane = pulses + (g / block_groups * quads * block_groups + g % block_groups) * 4;
    for (size_t i = 0; i < 4 * quads; ++i) lane[i / 4 * 64 + i % 4] = static_cast<uint8_t>(point[i] + 128);
  }
}

}  // namespace

extern const PvqPulsesKernel pvq_pulses_portable;
const PvqPulsesKernel pvq_pulses_portable = {InstructionSet::portable, supports, decode};

}  // namespace pyramidion
