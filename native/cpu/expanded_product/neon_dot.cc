// The product with sdot, which multiplies bytes and adds four products in 32 bits: a group's quad.
#include <arm_neon.h>

namespace pyramidion {
namespace {

// <p, x> of four groups.
template <int Quads>
inline int32x4_t dot(const int8x16_t (&p)[Quads], const int8x16_t (&x)[Quads]) {
  int32x4_t sum = vdupq_n_s32(0);
  for (int q = 0; q < Quads; ++q) sum = vdotq_s32(sum, p[q], x[q]);
  return sum;
}

}  // namespace
}  // namespace pyramidion

#include "cpu/expanded_product/neon_product.h"

namespace pyramidion {

extern const ExpandedProductKernel expanded_product_neon_dot;
const ExpandedProductKernel expanded_product_neon_dot = {InstructionSet::neon_dot, has_factor_table, accumulate};

}  // namespace pyramidion
