// One function a family of operations: it sets the family's exports and nothing else.
#pragma once

#include <napi.h>

namespace pyramidion {

void register_pvq(Napi::Object exports);
void register_values(Napi::Object exports);
void register_matrices(Napi::Object exports);
void register_linear(Napi::Object exports);
void register_linalg(Napi::Object exports);
void register_drift(Napi::Object exports);
void register_model(Napi::Object exports);
void register_block(Napi::Object exports);
void register_capabilities(Napi::Object exports);
void register_devices(Napi::Object exports);
void register_device_product(Napi::Object exports);

}  // namespace pyramidion
