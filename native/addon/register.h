// One function a family of operations: it sets the family's exports and nothing else.
#pragma once

#include <napi.h>

namespace pyramidion {

void register_pvq(Napi::Object exports);
void register_values(Napi::Object exports);

}  // namespace pyramidion
