#include "cpu/guided_rounding/dispatch.h"

namespace pyramidion {

extern const GuidedKernel guided_kernel_portable;
extern const GuidedKernel guided_kernel_avx2;
extern const GuidedKernel guided_kernel_avx512;
extern const GuidedKernel guided_kernel_neon;

const std::vector<GuidedKernel>& guided_kernels() {
  static const std::vector<GuidedKernel> kernels = {
#if defined(__x86_64__)
      guided_kernel_avx512,
      guided_kernel_avx2,
#elif defined(__aarch64__)
      guided_kernel_neon,
#endif
      guided_kernel_portable,
  };
  return kernels;
}

const GuidedKernel& guided_kernel(InstructionSet set) {
  for (const GuidedKernel& kernel : guided_kernels()) {
    if (kernel.instruction_set <= set) return kernel;
  }
  return guided_kernels().back();
}

}  // namespace pyramidion
