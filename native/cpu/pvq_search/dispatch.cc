#include "cpu/pvq_search/dispatch.h"

namespace pyramidion {

void pvq_search_portable(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points);
void pvq_search_avx2(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points);
void pvq_search_avx512(const float* groups, size_t count, const Pyramid& pyramid, int16_t* points);

const std::vector<PvqSearchKernel>& pvq_search_kernels() {
  static const std::vector<PvqSearchKernel> kernels = {
#if defined(__x86_64__)
    {InstructionSet::avx512, pvq_search_avx512},
    {InstructionSet::avx2, pvq_search_avx2},
#endif
    {InstructionSet::portable, pvq_search_portable},
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
