// Group by group, for any processor.
#include <cstring>

#include "core/pvq/integer_tokens.h"
#include "cpu/pvq_decode/group_reader.h"
#include "cpu/pvq_pulses/dispatch.h"

namespace pyramidion {
namespace {

bool supports(const PvqCode&) { return true; }

void decode(const PvqCode& code, const uint8_t* codes, uint8_t* pulses, uint16_t* levels) {
  with_points(code, [&](auto points) {
    using Points = decltype(points);
    constexpr size_t quads = Points::dimension < 4 ? 1 : Points::dimension / 4;
    GroupReader<Points> reader(code, codes);
    for (size_t g = 0; g < code.groups; ++g) {
      int8_t p[4 * quads] = {};
      levels[g] = static_cast<uint16_t>(reader.read(p));
      uint8_t* lane = pulses + (g / block_groups * quads * block_groups + g % block_groups) * 4;
      for (size_t q = 0; q < quads; ++q) {
        uint32_t quad;
        std::memcpy(&quad, p + 4 * q, sizeof(quad));
        quad ^= 0x80808080;
        std::memcpy(lane + 64 * q, &quad, sizeof(quad));
      }
    }
  });
}

}  // namespace

extern const PvqPulsesKernel pvq_pulses_portable;
const PvqPulsesKernel pvq_pulses_portable = {InstructionSet::portable, supports, decode};

}  // namespace pyramidion
