// The PTX inside what cuModuleLoadData is given.
#pragma once

#include <string>

namespace ptxsim {

// Of a fatbin that holds uncompressed PTX, or of PTX text itself. Empty when there is none.
std::string ptx_of(const void* image);

}  // namespace ptxsim
