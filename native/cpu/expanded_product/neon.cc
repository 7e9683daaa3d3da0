// The product with what every arm64 processor has: smull and smlal multiply bytes and add up in 16 bits. Nothing
// overflows: the pulses of a group add up to 127 at most (ExpandedRows::supports), inputs are at most 127 as well.
#include <arm_neon.h>

namespace pyramidion {
namespace {

// <p, x> of four groups.
template <int Quads>
inline int32x4_t dot(const int8x16_t (&p)[Quads], const int8x16_t (&x)[Quads]) {
  int16x8_t low = vmull_s8(vget_low_s8(p[0]), vget_low_s8(x[0])), high = vmull_high_s8(p[0], x[0]);
  for (int q = 1; q < Quads; ++q) {
    low = vmlal_s8(low, vget_low_s8(p[q]), vget_low_s8(x[q]));
    high = vmlal_high_s8(high, p[q], x[q]);
  }
  return vpaddlq_s16(vpaddq_s16(low, high));
}

}  // namespace
}  // namespace pyramidion

#include "cpu/expanded_product/neon_product.h"

namespace pyramidion {

extern const ExpandedProductKernel expanded_product_neon;
const ExpandedProductKernel expanded_product_neon = {InstructionSet::neon, has_factor_table, accumulate};

}  // namespace pyramidion
