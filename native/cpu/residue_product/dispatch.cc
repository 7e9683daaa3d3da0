#include "cpu/residue_product/dispatch.h"

namespace pyramidion {

extern const ResidueProductKernel residue_product_portable;
extern const ResidueProductKernel residue_product_avx2;
extern const ResidueProductKernel residue_product_avx512;

const std::vector<ResidueProductKernel>& residue_product_kernels() {
  static const std::vector<ResidueProductKernel> kernels = {
#if defined(__x86_64__)
    residue_product_avx512,
    residue_product_avx2,
#endif
    residue_product_portable,
  };
  return kernels;
}

}  // namespace pyramidion
