// Bindings of the PVQ codec.
#include "addon/register.h"

namespace pyramidion {

void register_pvq(Napi::Object) {}

}  // namespace pyramidion
