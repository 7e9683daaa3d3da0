// Residue rows with NEON and its dot products of bytes.
#include "cpu/residue_product/neon_residues.h"

#include "cpu/residue_product/lanes_product.h"

namespace pyramidion {

extern const PackedProductKernel<ResidueRows> residue_product_neon_dot;
const PackedProductKernel<ResidueRows> residue_product_neon_dot = {InstructionSet::neon_dot, accumulate, decode};

}  // namespace pyramidion
