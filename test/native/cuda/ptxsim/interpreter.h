// Runs the PTX that nvcc emits on the processor, one thread block after another, and checks every access on the way:
// bounds, alignment, memory that was never written, and accesses of other threads that no barrier separates.
#pragma once

#include <string>

#include "ptx.h"

namespace ptxsim {

// Parses a module. Throws std::runtime_error, naming the instruction, for whatever is not on the list of mnemonics.cc.
Module* load_module(const std::string& text);

// Whether a device takes a launch of this shape; what is wrong with it is printed to standard error.
bool can_launch(const Kernel& kernel, Extent grid, Extent block, size_t shared_bytes);

// Runs a kernel to its end with its parameters laid out as it declares them. 0, or what the driver would return: 700,
// 716 or 719 for a fault, 719 for a hazard too. Both are described on standard error.
//
// PTXSIM_SEED: 0 (default) runs blocks and warps in order, any other number in an order drawn from it. PTXSIM_REPORT=1
// prints how often instructions ran and how many sectors and bank conflicts they cost.
int launch(Kernel& kernel, Extent grid, Extent block, size_t shared_bytes, const void* parameters);

}  // namespace ptxsim
