// Products of a panel of rows (core/pvq/row_panel.h) with many tokens. They are those of core/pvq/integer_tokens.h, bit
// for bit: lane after lane is summed, a row of the panel in each place of a vector, and the lanes are added in that
// order which leaves the fewest sums waiting.
//
// Unit says what groups are multiplied with:
//   Unit::tokens                                  how many it takes at a time
//   unit.accumulate<Quads>(part, groups, tokens, fresh, count, sums)
//                                                 adds the products of `groups` groups, from part on, with `count`
//                                                 tokens to sums, or, fresh, to zero
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <cstring>

#include "core/pvq/integer_tokens.h"
#include "core/pvq/row_panel.h"

namespace pyramidion {
namespace {

typedef float PanelFloats __attribute__((vector_size(64)));

// Of a panel's rows, 16 and 16.
struct RowSums {
  PanelFloats half[2];
};

template <class Unit>
void accumulate_part(Unit& unit, const PanelPart& part, const PanelTokens& tokens, size_t lane, bool fresh,
                     size_t count, RowSums* sums) {
  const size_t first = groups_before_lane(part.groups, lane),
               groups = groups_before_lane(part.groups, lane + 1) - first;
  const uint8_t* bytes = part.bytes + first * panel_group_bytes(part.quads);
  PanelTokens own = tokens;
  own.values += first * part.quads * 4;
  own.corrections += first;
  switch (part.quads) {
    case 1:
      return unit.template accumulate<1>(bytes, groups, own, fresh, count, sums);
    case 2:
      return unit.template accumulate<2>(bytes, groups, own, fresh, count, sums);
    case 4:
      return unit.template accumulate<4>(bytes, groups, own, fresh, count, sums);
    default:
      return unit.template accumulate<8>(bytes, groups, own, fresh, count, sums);
  }
}

// sums: tokens x panel_rows, of all parts. tokens: of each part.
template <class Unit>
void multiply_panel(Unit& unit, const PanelPart* parts, size_t part_count, const PanelTokens* tokens,
                    size_t token_count, float* sums) {
  // As sum_lanes() adds them: pairs, pairs of those, and so on.
  constexpr size_t order[block_groups] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
  for (size_t first = 0; first < token_count; first += Unit::tokens) {
    const size_t count = std::min<size_t>(Unit::tokens, token_count - first);
    // waiting[i]: the sums of 2^i lanes, where bit i of the number of lanes that are done is set.
    RowSums lane[Unit::tokens], waiting[5][Unit::tokens];
    for (size_t i = 0; i < block_groups; ++i) {
      for (size_t p = 0; p < part_count; ++p) {
        accumulate_part(unit, parts[p], tokens[p].from(first), order[i], p == 0, count, lane);
      }
      const auto ones = static_cast<size_t>(__builtin_ctzll(~static_cast<unsigned long long>(i)));
      for (size_t t = 0; t < count; ++t) {
        for (size_t h = 0; h < 2; ++h) {
          PanelFloats sum = lane[t].half[h];
          for (size_t level = 0; level < ones; ++level) sum += waiting[level][t].half[h];
          waiting[ones][t].half[h] = sum;
        }
      }
    }
    std::memcpy(sums + first * panel_rows, waiting[4], count * sizeof(RowSums));
  }
}

}  // namespace
}  // namespace pyramidion
