// Products of patched rows and their pulses, a block of 16 groups at once in vectors of a part of them each.
//
// Included behind the header that reads pulses with the instruction set at hand. Everything has internal linkage: see
// lanes.h of the search.
#pragma once

#include "cpu/packed_product/dispatch.h"
#include "cpu/patched_product/span_walk.h"
#include "cpu/symbol_factors/lane_sums.h"

namespace pyramidion {
namespace {

void accumulate(const PatchedRows& rows, const GroupFactors& factors, size_t first, size_t count,
                const SegmentTokens& tokens, float* lanes) {
  const SymbolFactors reader(factors);
  for (size_t row = first; row < first + count; ++row, lanes += block_groups) {
    LaneSums sums(lanes);
    walk_spans(rows, row, unpack, [&](size_t b, const uint8_t* fields, const int8_t* pulses) {
      const int8_t* x = tokens.values + b * PatchedRows::quads * 64;
      const auto at = [](size_t p, size_t q) { return q * 64 + p * sizeof(Bytes); };
      sums.add<PatchedRows::quads>(
          reader, read_symbols(fields), [&](size_t p, size_t q) { return left(load(pulses + at(p, q))); },
          [&](size_t p, size_t q) { return right(load(pulses + at(p, q)), load(x + at(p, q))); });
    });
    sums.store(lanes);
  }
}

void decode(const PatchedRows& rows, size_t row, uint8_t* to, uint16_t* levels) {
  walk_spans(rows, row, unpack, [&](size_t b, const uint8_t* fields, const int8_t* pulses) {
    const Symbols symbols = read_symbols(fields);
    uint8_t symbol[block_groups];
    symbols.store(symbol);
    for (size_t lane = 0; lane < block_groups; ++lane) levels[b * block_groups + lane] = rows.level_of(symbol[lane]);
    for (size_t q = 0; q < PatchedRows::quads; ++q) {
      for (size_t p = 0; p < parts; ++p) {
        const size_t at = q * 64 + p * sizeof(Bytes);
        store_pulses(to + b * PatchedRows::quads * 64 + at, turn_back(load(pulses + at), symbols, p));
      }
    }
  });
}

}  // namespace
}  // namespace pyramidion
