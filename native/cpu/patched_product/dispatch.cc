#include "cpu/patched_product/dispatch.h"

namespace pyramidion {

extern const PatchedProductKernel patched_product_portable;
extern const PatchedProductKernel patched_product_avx2;
extern const PatchedProductKernel patched_product_avx512;

const std::vector<PatchedProductKernel>& patched_product_kernels() {
  static const std::vector<PatchedProductKernel> kernels = {
#if defined(__x86_64__)
    patched_product_avx512,
    patched_product_avx2,
#endif
    patched_product_portable,
  };
  return kernels;
}

}  // namespace pyramidion
