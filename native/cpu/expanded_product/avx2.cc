#if defined(__x86_64__)
#include "cpu/expanded_product/avx2_product.h"
#include "cpu/expanded_product/dispatch.h"

namespace pyramidion {

extern const ExpandedProductKernel expanded_product_avx2;
const ExpandedProductKernel expanded_product_avx2 = {InstructionSet::avx2, has_factor_table, accumulate};

}  // namespace pyramidion
#endif
