// Group by group, for any processor.
#include <cstring>

#include "core/pvq/bit_stream.h"
#include "core/pvq/integer_tokens.h"
#include "cpu/split_pulses/dispatch.h"

namespace pyramidion {
namespace {

void decode(const SplitRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  const size_t quads = static_cast<size_t>(rows.quad_count);
  const int level_shift = rows.composition_bits, index_shift = level_shift + rows.level_bits;
  for (size_t g = 0; g < rows.groups; ++g) {
    const uint64_t group = read_code(rows.at(row), g * static_cast<size_t>(rows.bits), rows.bits);
    uint64_t indices = index_shift < 64 ? group >> index_shift : 0;
    levels[g] = static_cast<uint16_t>(group >> level_shift & ((uint64_t{1} << rows.level_bits) - 1));
    const uint32_t parts = rows.compositions[group & ((uint64_t{1} << rows.composition_bits) - 1)];
    uint8_t* lane = pulses + (g / block_groups * quads * block_groups + g % block_groups) * 4;
    for (size_t q = 0; q < quads; ++q) {
      const uint32_t k = parts >> 8 * q & 255, bits = rows.index_bits[k];
      // Adding 128 to a byte is turning its highest bit.
      const uint32_t point =
          rows.quads->points()[rows.quads->base[k] + (indices & ((uint64_t{1} << bits) - 1))] ^ 0x80808080u;
      std::memcpy(lane + q * 64, &point, sizeof(point));
      indices >>= bits;
    }
  }
}

}  // namespace

extern const SplitPulsesKernel split_pulses_portable;
const SplitPulsesKernel split_pulses_portable = {InstructionSet::portable, decode};

}  // namespace pyramidion
