// Patched rows with NEON and its dot products of bytes.
#include "cpu/patched_product/neon_pulses.h"

#include "cpu/patched_product/lanes_product.h"

namespace pyramidion {

extern const PackedProductKernel<PatchedRows> patched_product_neon_dot;
const PackedProductKernel<PatchedRows> patched_product_neon_dot = {InstructionSet::neon_dot, accumulate, decode};

}  // namespace pyramidion
