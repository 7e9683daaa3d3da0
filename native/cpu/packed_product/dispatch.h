// Products of rows in a form that is decoded in registers (core/pvq/residue_rows.h, patched_rows.h) with one int8
// token, and their pulses, in the fastest form that this processor runs.
#pragma once

#include <vector>

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

// Of ResidueRows or PatchedRows, best first; the last one runs everywhere.
template <class Rows>
const std::vector<PackedProductKernel<Rows>>& packed_product_kernels();

// The first of them that `set` covers.
template <class Rows>
const PackedProductKernel<Rows>& packed_product_kernel(InstructionSet set) {
  for (const PackedProductKernel<Rows>& kernel : packed_product_kernels<Rows>()) {
    if (kernel.instruction_set <= set) return kernel;
  }
  return packed_product_kernels<Rows>().back();
}

}  // namespace pyramidion
