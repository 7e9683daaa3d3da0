#include "cpu/floats/kernels.h"

#include <algorithm>

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
#elif defined(__aarch64__)
namespace floats_neon {
extern const FloatKernels kernels;
}
#endif

InstructionSet float_instruction_set(InstructionSet set) {
#if defined(__x86_64__)
  return std::min(set, InstructionSet::avx512);
#else
  return std::min(set, InstructionSet::neon);
#endif
}

const FloatKernels& float_kernels(InstructionSet set) {
  switch (float_instruction_set(set)) {
#if defined(__x86_64__)
    case InstructionSet::avx512:
      return floats_avx512::kernels;
    case InstructionSet::avx2:
      return floats_avx2::kernels;
#elif defined(__aarch64__)
    case InstructionSet::neon:
      return floats_neon::kernels;
#endif
    default:
      return floats_portable::kernels;
  }
}

const FloatKernels& float_kernels() {
  static const FloatKernels& chosen = float_kernels(instruction_set());
  return chosen;
}

}  // namespace pyramidion
