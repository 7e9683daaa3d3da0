// Products of rows in a form that is decoded in registers with one int8 token, and their pulses.
#pragma once

#include "core/pvq/group_factors.h"
#include "core/pvq/integer_tokens.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

template <class Rows>
struct PackedProductKernel {
  InstructionSet instruction_set;
  // Adds the products of rows [first, first + count) with the first token to lanes: row x 16. factors: of the code with
  // Rows::symbol_levels. Every form gives the same floats bit for bit.
  void (*accumulate)(const Rows& rows, const GroupFactors& factors, size_t first, size_t count,
                     const SegmentTokens& tokens, float* lanes);
  // Into what PvqPulsesKernel::decode makes.
  void (*decode)(const Rows& rows, size_t row, uint8_t* pulses, uint16_t* levels);
};

}  // namespace pyramidion
