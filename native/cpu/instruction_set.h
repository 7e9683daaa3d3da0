// The instruction sets kernels are compiled for, best last, and the one this process uses.
#pragma once

namespace pyramidion {

// avx2 stands for AVX2, FMA and F16C; avx512 for the F, BW, DQ, VL, VBMI and VNNI extensions together.
enum class InstructionSet { portable, avx2, avx512 };

// The best set that the processor and the operating system support, read once; the environment variable
// PYRAMIDION_INSTRUCTION_SET (portable, avx2, avx512) lowers it, never raises it.
InstructionSet instruction_set();

// What the processor supports, whatever the environment asks for.
InstructionSet supported_instruction_set();

const char* name_of(InstructionSet set);

}  // namespace pyramidion
