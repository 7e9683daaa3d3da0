#include "cpu/pvq_search/dispatch.h"

namespace pyramidion {

extern const PvqSearchKernel pvq_search_portable;
extern const PvqSearchKernel pvq_search_avx2;
extern const PvqSearchKernel pvq_search_avx512;
extern const PvqSearchKernel pvq_search_neon;

const std::vector<PvqSearchKernel>& pvq_search_kernels() {
  static const std::vector<PvqSearchKernel> kernels = {
#if defined(__x86_64__)
    pvq_search_avx512,
    pvq_search_avx2,
#elif defined(__aarch64__)
    pvq_search_neon,
#endif
    pvq_search_portable,
  };
  return kernels;
}

const PvqSearchKernel& pvq_search_kernel(InstructionSet set) {
  for (const PvqSearchKernel& kernel : pvq_search_kernels()) {
    if (kernel.instruction_set <= set) return kernel;
  }
  return pvq_search_kernels().back();
}

}  // namespace pyramidion
