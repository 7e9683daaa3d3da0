#include "cpu/panel_product/dispatch.h"

namespace pyramidion {

extern const PanelKernel panel_avx512;
extern const PanelKernel panel_amx;
// Whether the processor has AMX and the system lets this process use it.
bool amx_usable();

const std::vector<PanelKernel>& panel_kernels() {
  static const std::vector<PanelKernel> kernels = [] {
    std::vector<PanelKernel> present;
#if defined(__x86_64__)
#if defined(__linux__)
    if (supported_instruction_set() >= InstructionSet::avx512 && amx_usable()) present.push_back(panel_amx);
#endif
    present.push_back(panel_avx512);
#endif
    return present;
  }();
  return kernels;
}

const PanelKernel* panel_kernel(InstructionSet set) {
  for (const PanelKernel& kernel : panel_kernels()) {
    if (kernel.instruction_set <= set) return &kernel;
  }
  return nullptr;
}

}  // namespace pyramidion
