// Group by group, for any processor.
#include <cmath>

#include "core/pvq/residue_rows.h"
#include "cpu/packed_product/dispatch.h"

namespace pyramidion {
namespace {

void accumulate(const ResidueRows& rows, const GroupFactors& factors, size_t first, size_t count,
                const SegmentTokens& tokens, float* lanes) {
  const size_t quads = static_cast<size_t>(rows.quads), width = 4 * quads;
  for (size_t row = first; row < first + count; ++row, lanes += block_groups) {
    ResidueReader reader(rows, row);
    for (size_t b = 0; b < rows.blocks; ++b) {
      int8_t pulses[block_groups * PyramidCounts::max_dimension];
      uint8_t symbols[block_groups];
      reader.next(pulses, symbols);
      const int8_t* x = tokens.values + b * quads * 64;
      for (size_t lane = 0; lane < rows.lanes(b); ++lane) {
        int dot = 0, square = 0;
        for (size_t i = 0; i < width; ++i) {
          const int pulse = pulses[lane * width + i];
          dot += pulse * x[i / 4 * 64 + lane * 4 + i % 4];
          square += pulse * pulse;
        }
        const float factor = factors.values[symbols[lane] * factors.stride + static_cast<uint32_t>(square)];
        lanes[lane] = std::fma(static_cast<float>(dot), factor, lanes[lane]);
      }
    }
  }
}

void decode(const ResidueRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  const size_t width = 4 * static_cast<size_t>(rows.quads);
  ResidueReader reader(rows, row);
  for (size_t b = 0; b < rows.blocks; ++b, pulses += block_groups * width, levels += block_groups) {
    int8_t block[block_groups * PyramidCounts::max_dimension];
    uint8_t symbols[block_groups];
    reader.next(block, symbols);
    for (size_t lane = 0; lane < block_groups; ++lane) {
      levels[lane] = rows.level_of[symbols[lane]];
      for (size_t i = 0; i < width; ++i) {
        pulses[i / 4 * 64 + lane * 4 + i % 4] = static_cast<uint8_t>(block[lane * width + i] + 128);
      }
    }
  }
}

}  // namespace

extern const PackedProductKernel<ResidueRows> residue_product_portable;
const PackedProductKernel<ResidueRows> residue_product_portable = {InstructionSet::portable, accumulate, decode};

}  // namespace pyramidion
