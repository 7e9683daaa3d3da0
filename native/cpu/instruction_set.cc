#include "cpu/instruction_set.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace pyramidion {

InstructionSet supported_instruction_set() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
  if (avx2 && avx512) return InstructionSet::avx512;
  if (avx2) return InstructionSet::avx2;
#endif
  return InstructionSet::portable;
}

InstructionSet instruction_set() {
  static const InstructionSet chosen = [] {
    const InstructionSet supported = supported_instruction_set();
    const char* wanted = std::getenv("PYRAMIDION_INSTRUCTION_SET");
    if (wanted == nullptr) return supported;
    for (InstructionSet set : {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512}) {
      if (std::strcmp(wanted, name_of(set)) == 0) return std::min(set, supported);
    }
    return supported;
  }();
  return chosen;
}

const char* name_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx2:
      return "avx2";
    case InstructionSet::avx512:
      return "avx512";
    default:
      return "portable";
  }
}

}  // namespace pyramidion
