// The instruction sets kernels are compiled for, and the one this process uses.
#pragma once

#include <vector>

namespace pyramidion {

// Each holds those before it on its architecture. x64: avx2 is AVX2, FMA and F16C; avx512 adds F, BW, DQ, VL and VNNI
// (Cascade Lake and later); avx512_vbmi adds VBMI (Ice Lake, Zen 4 and later). arm64: neon is what every such processor
// has; neon_dot adds the dot products of bytes (optional from Armv8.2 on, in every processor from Armv8.4 on). A kernel
// family need not have a form for each.
enum class InstructionSet { portable, avx2, avx512, avx512_vbmi, neon, neon_dot };

// Those of this architecture, best last.
#if defined(__aarch64__)
constexpr InstructionSet instruction_sets[] = {InstructionSet::portable, InstructionSet::neon,
                                               InstructionSet::neon_dot};
#else
constexpr InstructionSet instruction_sets[] = {InstructionSet::portable, InstructionSet::avx2, InstructionSet::avx512,
                                               InstructionSet::avx512_vbmi};
#endif

// The best set that the processor and the operating system support, read once; the environment variable
// PYRAMIDION_INSTRUCTION_SET (the name of a set) lowers it, never raises it.
InstructionSet instruction_set();

// What the processor supports, whatever the environment asks for.
InstructionSet supported_instruction_set();

const char* name_of(InstructionSet set);

// One extension of the processor that a kernel here may ask for.
struct Extension {
  const char* name;
  bool present;
};

// Read once.
const std::vector<Extension>& extensions();

// Whether the processor has the extension of that name, one of extensions().
bool has_extension(const char* name);

}  // namespace pyramidion
