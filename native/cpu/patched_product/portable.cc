// Group by group, for any processor.
#include <cmath>

#include "cpu/packed_product/dispatch.h"
#include "cpu/patched_product/span_walk.h"

namespace pyramidion {
namespace {

constexpr size_t width = 4 * PatchedRows::quads;

void unpack(const uint8_t* fields, int8_t* to) {
  for (size_t place = 0; place < PatchedRows::quads * 64; ++place) {
    const int low = fields[place % 64] >> place / 64 * 2 & 3;
    const int not_negative = fields[PatchedRows::plane_at + place / 8] >> place % 8 & 1;
    to[place] = static_cast<int8_t>(low + 4 * not_negative - 4);
  }
}

unsigned symbol_of(const uint8_t* fields, size_t lane) {
  uint64_t symbols;
  std::memcpy(&symbols, fields + PatchedRows::symbols_at, sizeof(symbols));
  return symbols >> PatchedRows::symbol_place(lane) & 15;
}

void accumulate(const PatchedRows& rows, const GroupFactors& factors, size_t first, size_t count,
                const SegmentTokens& tokens, float* lanes) {
  for (size_t row = first; row < first + count; ++row, lanes += block_groups) {
    walk_spans(rows, row, unpack, [&](size_t b, const uint8_t* fields, const int8_t* span) {
      const int8_t* x = tokens.values + b * PatchedRows::quads * 64;
      for (size_t lane = 0; lane < rows.lanes(b); ++lane) {
        int dot = 0, square = 0;
        for (size_t i = 0; i < width; ++i) {
          const size_t place = i / 4 * 64 + lane * 4 + i % 4;
          const int pulse = span[place];
          dot += pulse * x[place];
          square += pulse * pulse;
        }
        const float factor = factors.values[symbol_of(fields, lane) * factors.stride + static_cast<uint32_t>(square)];
        lanes[lane] = std::fma(static_cast<float>(dot), factor, lanes[lane]);
      }
    });
  }
}

void decode(const PatchedRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  walk_spans(rows, row, unpack, [&](size_t b, const uint8_t* fields, const int8_t* span) {
    for (size_t lane = 0; lane < block_groups; ++lane) {
      const unsigned symbol = symbol_of(fields, lane);
      levels[b * block_groups + lane] = rows.level_of(symbol);
      for (size_t i = 0; i < width; ++i) {
        const size_t place = i / 4 * 64 + lane * 4 + i % 4;
        const int pulse = span[place];
        pulses[b * PatchedRows::quads * 64 + place] =
            static_cast<uint8_t>(((symbol & PatchedRows::negated) != 0 ? -pulse : pulse) + 128);
      }
    }
  });
}

}  // namespace

extern const PackedProductKernel<PatchedRows> patched_product_portable;
const PackedProductKernel<PatchedRows> patched_product_portable = {InstructionSet::portable, accumulate, decode};

}  // namespace pyramidion
