// Patched rows with what every arm64 processor has.
#include "cpu/patched_product/neon_pulses.h"

#include "cpu/patched_product/lanes_product.h"

namespace pyramidion {

extern const PackedProductKernel<PatchedRows> patched_product_neon;
const PackedProductKernel<PatchedRows> patched_product_neon = {InstructionSet::neon, accumulate, decode};

}  // namespace pyramidion
