// The mnemonics that the interpreter runs. A mnemonic that is not on the list is refused as a whole: no modifier is
// ever ignored.
#pragma once

#include "ptx.h"

namespace ptxsim {

// Sets what the mnemonic says of the instruction. Throws std::runtime_error when it is not on the list.
void decode_mnemonic(const std::string& mnemonic, Instruction& instruction);

// "u32" and the like; Kind::none when it is no type.
Type find_type(const std::string& name);

}  // namespace ptxsim
