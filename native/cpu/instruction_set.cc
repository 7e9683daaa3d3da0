#include "cpu/instruction_set.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace pyramidion {
namespace {

bool has_all(std::initializer_list<const char*> names) {
  return std::all_of(names.begin(), names.end(), has_extension);
}

}  // namespace

const std::vector<Extension>& extensions() {
  static const std::vector<Extension> known = [] {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return std::vector<Extension>{
        {"avx2", __builtin_cpu_supports("avx2") != 0},
        {"fma", __builtin_cpu_supports("fma") != 0},
        {"f16c", __builtin_cpu_supports("f16c") != 0},
        {"bmi2", __builtin_cpu_supports("bmi2") != 0},
        {"avx512f", __builtin_cpu_supports("avx512f") != 0},
        {"avx512bw", __builtin_cpu_supports("avx512bw") != 0},
        {"avx512dq", __builtin_cpu_supports("avx512dq") != 0},
        {"avx512vl", __builtin_cpu_supports("avx512vl") != 0},
        {"avx512vnni", __builtin_cpu_supports("avx512vnni") != 0},
        {"avx512vbmi", __builtin_cpu_supports("avx512vbmi") != 0},
        {"avxvnni", __builtin_cpu_supports("avxvnni") != 0},
        {"amx-tile", __builtin_cpu_supports("amx-tile") != 0},
        {"amx-int8", __builtin_cpu_supports("amx-int8") != 0},
    };
#elif defined(__aarch64__) && defined(__linux__)
    return std::vector<Extension>{{"neon", true}, {"dotprod", (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0}};
#elif defined(__aarch64__)
    return std::vector<Extension>{{"neon", true}};
#else
    return std::vector<Extension>{};
#endif
  }();
  return known;
}

bool has_extension(const char* name) {
  for (const Extension& extension : extensions()) {
    if (std::strcmp(extension.name, name) == 0) return extension.present;
  }
  return false;
}

InstructionSet supported_instruction_set() {
  static const InstructionSet supported = [] {
    if (has_extension("dotprod")) return InstructionSet::neon_dot;
    if (has_extension("neon")) return InstructionSet::neon;
    if (!has_all({"avx2", "fma", "f16c", "bmi2"})) return InstructionSet::portable;
    if (!has_all({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"})) return InstructionSet::avx2;
    return has_extension("avx512vbmi") ? InstructionSet::avx512_vbmi : InstructionSet::avx512;
  }();
  return supported;
}

InstructionSet instruction_set() {
  static const InstructionSet chosen = [] {
    const InstructionSet supported = supported_instruction_set();
    const char* wanted = std::getenv("PYRAMIDION_INSTRUCTION_SET");
    if (wanted == nullptr) return supported;
    for (InstructionSet set : instruction_sets) {
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
    case InstructionSet::avx512_vbmi:
      return "avx512_vbmi";
    case InstructionSet::neon:
      return "neon";
    case InstructionSet::neon_dot:
      return "neon_dot";
    default:
      return "portable";
  }
}

}  // namespace pyramidion
