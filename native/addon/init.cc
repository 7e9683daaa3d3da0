// The addon's entry point: sets the exports that lib/native.ts types, and nothing else.
#include "addon/environment.h"
#include "addon/register.h"

static Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  pyramidion::register_environment(env, exports);
  pyramidion::register_pvq(exports);
  pyramidion::register_values(exports);
  pyramidion::register_matrices(exports);
  pyramidion::register_linear(exports);
  pyramidion::register_linalg(exports);
  pyramidion::register_drift(exports);
  pyramidion::register_model(exports);
  pyramidion::register_block(exports);
  pyramidion::register_capabilities(exports);
  pyramidion::register_devices(exports);
  pyramidion::register_device_product(exports);
  return exports;
}

NODE_API_MODULE(pyramidion, initialize)
