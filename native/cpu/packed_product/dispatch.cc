#include "cpu/packed_product/dispatch.h"

#include "core/pvq/patched_rows.h"
#include "core/pvq/residue_rows.h"

namespace pyramidion {

template <class Rows>
using Kernels = std::vector<PackedProductKernel<Rows>>;

extern const PackedProductKernel<ResidueRows> residue_product_portable, residue_product_avx2, residue_product_avx512,
    residue_product_neon, residue_product_neon_dot;
extern const PackedProductKernel<PatchedRows> patched_product_portable, patched_product_avx2, patched_product_avx512,
    patched_product_neon, patched_product_neon_dot;

template <>
const Kernels<ResidueRows>& packed_product_kernels() {
  static const Kernels<ResidueRows> kernels = {
#if defined(__x86_64__)
    residue_product_avx512,
    residue_product_avx2,
#elif defined(__aarch64__)
    residue_product_neon_dot,
    residue_product_neon,
#endif
    residue_product_portable,
  };
  return kernels;
}

template <>
const Kernels<PatchedRows>& packed_product_kernels() {
  static const Kernels<PatchedRows> kernels = {
#if defined(__x86_64__)
    patched_product_avx512,
    patched_product_avx2,
#elif defined(__aarch64__)
    patched_product_neon_dot,
    patched_product_neon,
#endif
    patched_product_portable,
  };
  return kernels;
}

}  // namespace pyramidion
