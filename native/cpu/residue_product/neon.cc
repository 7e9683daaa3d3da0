// Residue rows with what every arm64 processor has.
#include "cpu/residue_product/neon_residues.h"

#include "cpu/residue_product/lanes_product.h"

namespace pyramidion {

extern const PackedProductKernel<ResidueRows> residue_product_neon;
const PackedProductKernel<ResidueRows> residue_product_neon = {InstructionSet::neon, accumulate, decode};

}  // namespace pyramidion
