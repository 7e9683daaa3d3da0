// Products of expanded rows (core/pvq/expanded_rows.h) with int8 tokens, in the fastest form this processor runs.
#pragma once

#include <vector>

#include "core/pvq/expanded_rows.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

struct ExpandedProductKernel {
  // An extension that only some processors with the set have makes a kernel of its own: AVX-VNNI beside AVX2.
  InstructionSet instruction_set;
  // Whether this form handles the rows at all.
  bool (*supports)(const ExpandedRows& rows);
  // Adds the products of rows [first, first + count) with all tokens to lanes: row x token x 16
  // (core/pvq/integer_tokens.h). Every form gives the same floats bit for bit.
  void (*accumulate)(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes);
};

// Those that this processor may have; best first. The last one runs everywhere and supports all rows.
const std::vector<ExpandedProductKernel>& expanded_product_kernels();

// The first of them that `set` covers and that supports the rows.
const ExpandedProductKernel& expanded_product_kernel(const ExpandedRows& rows, InstructionSet set = instruction_set());

}  // namespace pyramidion
