#include "cpu/floats/kernels.h"

namespace pyramidion {

namespace floats_portable {
extern const FloatKernels kernels;
}
#if defined(__x86_64__)
namespace floats_avx2 {
extern const FloatKernels kernels;
}
namespace floats_avx512 {
extern const FloatKernels kernels;
}
#endif

const FloatKernels& float_kernels(InstructionSet set) {
#if defined(__x86_64__)
  if (set >= InstructionSet::avx512) return floats_avx512::kernels;
  if (set == InstructionSet::avx2) return floats_avx2::kernels;
#endif
  (void)set;
  return floats_portable::kernels;
}

const FloatKernels& float_kernels() {
  static const FloatKernels& chosen = float_kernels(instruction_set());
  return chosen;
}

}  // namespace pyramidion
