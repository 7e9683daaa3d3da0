// What single instructions compute, on the bit patterns of registers.
#pragma once

#include "ptx.h"

namespace ptxsim {

double to_double(uint64_t bits, Type type);
// Rounded to nearest even.
uint64_t from_double(double value, Type type);
int64_t sign_extend(uint64_t bits, unsigned bytes);
uint64_t zero_extend(uint64_t bits, unsigned bytes);

// One of the operations on one, two or three values of the instruction's type. `operation` is the instruction's own, or
// what an atomic does.
uint64_t compute(const Instruction& instruction, Opcode operation, uint64_t a, uint64_t b, uint64_t c);
// cvt; b is the lower half of a pair.
uint64_t convert(const Instruction& instruction, uint64_t a, uint64_t b);
// setp, without the operand it is combined with.
bool compare(const Instruction& instruction, uint64_t a, uint64_t b);

}  // namespace ptxsim
