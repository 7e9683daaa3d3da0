// Patched rows with AVX2.
#if defined(__x86_64__)
#include "cpu/patched_product/avx2_pulses.h"

#include "cpu/patched_product/lanes_product.h"

namespace pyramidion {

extern const PackedProductKernel<PatchedRows> patched_product_avx2;
const PackedProductKernel<PatchedRows> patched_product_avx2 = {InstructionSet::avx2, accumulate, decode};

}  // namespace pyramidion
#endif
