#include "cpu/expanded_product/dispatch.h"

namespace pyramidion {

extern const ExpandedProductKernel expanded_product_portable;
extern const ExpandedProductKernel expanded_product_avx2;
extern const ExpandedProductKernel expanded_product_avx_vnni;
extern const ExpandedProductKernel expanded_product_avx512;
extern const ExpandedProductKernel expanded_product_neon;
extern const ExpandedProductKernel expanded_product_neon_dot;

const std::vector<ExpandedProductKernel>& expanded_product_kernels() {
  static const std::vector<ExpandedProductKernel> kernels = [] {
    std::vector<ExpandedProductKernel> present;
#if defined(__x86_64__)
    present.push_back(expanded_product_avx512);
    if (has_extension("avxvnni")) present.push_back(expanded_product_avx_vnni);
    present.push_back(expanded_product_avx2);
#elif defined(__aarch64__)
    present.push_back(expanded_product_neon_dot);
    present.push_back(expanded_product_neon);
#endif
    present.push_back(expanded_product_portable);
    return present;
  }();
  return kernels;
}

const ExpandedProductKernel& expanded_product_kernel(const ExpandedRows& rows, InstructionSet set) {
  for (const ExpandedProductKernel& kernel : expanded_product_kernels()) {
    if (kernel.instruction_set <= set && kernel.supports(rows)) return kernel;
  }
  return expanded_product_kernels().back();
}

}  // namespace pyramidion
