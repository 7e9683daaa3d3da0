// One function a family of operations: it sets the family's exports and nothing else.
#pragma once

#include <napi.h>

namespace pyramidion {

void register_pvq(Napi::Env env, Napi::Object exports);

}  // namespace pyramidion
