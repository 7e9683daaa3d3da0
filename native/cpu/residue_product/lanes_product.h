// Products of residue rows and their pulses, a block of 16 groups at once in vectors of a part of them each.
//
// Included behind the header that reads blocks with the instruction set at hand. Everything has internal linkage: see
// lanes.h of the search.
#pragma once

#include "cpu/packed_product/dispatch.h"
#include "cpu/symbol_factors/lane_sums.h"

namespace pyramidion {
namespace {

template <int Quads>
void accumulate_row(const ResidueRows& rows, const SymbolFactors& factors, size_t row, const int8_t* x, float* lanes) {
  ResidueCursor<Quads> cursor(rows, row);
  LaneSums sums(lanes);
  for (size_t b = 0; b < rows.blocks; ++b, x += Quads * 64) {
    Residues<Quads> block;
    cursor.next(rows.lanes(b), block);
    sums.add<Quads>(
        factors, block.symbols, [&](size_t p, size_t q) { return block.left(p, q); },
        [&](size_t p, size_t q) { return block.right(p, q, load(x + q * 64 + p * sizeof(Bytes))); });
  }
  sums.store(lanes);
}

void accumulate(const ResidueRows& rows, const GroupFactors& factors, size_t first, size_t count,
                const SegmentTokens& tokens, float* lanes) {
  const SymbolFactors reader(factors);
  const auto add_row = rows.quads == 2 ? accumulate_row<2> : accumulate_row<4>;
  for (size_t i = 0; i < count; ++i) add_row(rows, reader, first + i, tokens.values, lanes + i * block_groups);
}

template <int Quads>
void decode_row(const ResidueRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  ResidueCursor<Quads> cursor(rows, row);
  for (size_t b = 0; b < rows.blocks; ++b, pulses += Quads * 64, levels += block_groups) {
    Residues<Quads> block;
    cursor.next(rows.lanes(b), block);
    uint8_t symbols[block_groups];
    block.symbols.store(symbols);
    for (size_t lane = 0; lane < block_groups; ++lane) levels[lane] = rows.level_of[symbols[lane]];
    for (size_t p = 0; p < parts; ++p) {
      for (size_t q = 0; q < Quads; ++q) store_pulses(pulses + q * 64 + p * sizeof(Bytes), block.pulses(p, q));
    }
  }
}

void decode(const ResidueRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  return rows.quads == 2 ? decode_row<2>(rows, row, pulses, levels) : decode_row<4>(rows, row, pulses, levels);
}

}  // namespace
}  // namespace pyramidion
