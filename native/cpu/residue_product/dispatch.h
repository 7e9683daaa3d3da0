// Products of residue rows (core/pvq/residue_rows.h) with one int8 token, and their pulses, in the fastest form that
// this processor runs.
#pragma once

#include <vector>

#include "core/pvq/group_factors.h"
#include "core/pvq/integer_tokens.h"
#include "core/pvq/residue_rows.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

struct ResidueProductKernel {
  InstructionSet instruction_set;
  // Adds the products of rows [first, first + count) with the first token to lanes: row x 16. factors: of the code with
  // the levels of its symbols. Every form gives the same floats bit for bit.
  void (*accumulate)(const ResidueRows& rows, const GroupFactors& factors, size_t first, size_t count,
                     const SegmentTokens& tokens, float* lanes);
  // Into what PvqPulsesKernel::decode makes.
  void (*decode)(const ResidueRows& rows, size_t row, uint8_t* pulses, uint16_t* levels);
};

// Best first; the last one runs everywhere.
const std::vector<ResidueProductKernel>& residue_product_kernels();

// The first of them that `set` covers.
const ResidueProductKernel& residue_product_kernel(InstructionSet set = instruction_set());

}  // namespace pyramidion
