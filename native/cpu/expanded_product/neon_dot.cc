// The product with dot products of bytes.
#include "cpu/expanded_product/neon_product.h"

namespace pyramidion {

extern const ExpandedProductKernel expanded_product_neon_dot;
const ExpandedProductKernel expanded_product_neon_dot = {InstructionSet::neon_dot, has_factor_table, accumulate};

}  // namespace pyramidion
