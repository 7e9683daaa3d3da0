#include "cpu/pvq_pulses/dispatch.h"

namespace pyramidion {

extern const PvqPulsesKernel pvq_pulses_portable;
extern const PvqPulsesKernel pvq_pulses_avx512;
extern const PvqPulsesKernel pvq_pulses_avx512_vbmi;

PvqCode with_numbered_levels(PvqCode code) {
  for (size_t l = 0; l < code.levels.size(); ++l) code.levels[l] = static_cast<float>(l);
  return code;
}

const std::vector<PvqPulsesKernel>& pvq_pulses_kernels() {
  static const std::vector<PvqPulsesKernel> kernels = {
#if defined(__x86_64__)
    pvq_pulses_avx512_vbmi,
    pvq_pulses_avx512,
#endif
    pvq_pulses_portable,
  };
  return kernels;
}

const PvqPulsesKernel& pvq_pulses_kernel(const PvqCode& code, InstructionSet set) {
  for (const PvqPulsesKernel& kernel : pvq_pulses_kernels()) {
    if (kernel.instruction_set <= set && kernel.supports(code)) return kernel;
  }
  return pvq_pulses_kernels().back();
}

}  // namespace pyramidion
