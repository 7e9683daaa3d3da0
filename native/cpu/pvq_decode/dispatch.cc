#include "cpu/pvq_decode/dispatch.h"

namespace pyramidion {

extern const PvqDecodeKernel pvq_decode_portable;
extern const PvqDecodeKernel pvq_decode_avx512;
extern const PvqDecodeKernel pvq_decode_avx512_vbmi;

const std::vector<PvqDecodeKernel>& pvq_decode_kernels() {
  static const std::vector<PvqDecodeKernel> kernels = {
#if defined(__x86_64__)
    pvq_decode_avx512_vbmi,
    pvq_decode_avx512,
#endif
    pvq_decode_portable,
  };
  return kernels;
}

const PvqDecodeKernel& pvq_decode_kernel(const PvqCode& code, InstructionSet set) {
  for (const PvqDecodeKernel& kernel : pvq_decode_kernels()) {
    if (kernel.instruction_set <= set && kernel.supports(code)) return kernel;
  }
  return pvq_decode_kernels().back();
}

}  // namespace pyramidion
