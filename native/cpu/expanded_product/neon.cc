// The product with what every arm64 processor has.
#include "cpu/expanded_product/neon_product.h"

namespace pyramidion {

extern const ExpandedProductKernel expanded_product_neon;
const ExpandedProductKernel expanded_product_neon = {InstructionSet::neon, has_factor_table, accumulate};

}  // namespace pyramidion
