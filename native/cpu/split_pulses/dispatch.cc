#include "cpu/split_pulses/dispatch.h"

namespace pyramidion {

extern const SplitPulsesKernel split_pulses_portable;
extern const SplitPulsesKernel split_pulses_avx512;
extern const SplitPulsesKernel split_pulses_avx512_vbmi;

const std::vector<SplitPulsesKernel>& split_pulses_kernels() {
  static const std::vector<SplitPulsesKernel> kernels = {
#if defined(__x86_64__)
    split_pulses_avx512_vbmi,
    split_pulses_avx512,
#endif
    split_pulses_portable,
  };
  return kernels;
}

const SplitPulsesKernel& split_pulses_kernel(InstructionSet set) {
  for (const SplitPulsesKernel& kernel : split_pulses_kernels()) {
    if (kernel.instruction_set <= set) return kernel;
  }
  return split_pulses_kernels().back();
}

}  // namespace pyramidion
