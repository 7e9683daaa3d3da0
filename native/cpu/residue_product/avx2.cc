// Residue rows with AVX2.
#if defined(__x86_64__)
#include "cpu/residue_product/avx2_residues.h"

#include "cpu/residue_product/lanes_product.h"

namespace pyramidion {

extern const PackedProductKernel<ResidueRows> residue_product_avx2;
const PackedProductKernel<ResidueRows> residue_product_avx2 = {InstructionSet::avx2, accumulate, decode};

}  // namespace pyramidion
#endif
