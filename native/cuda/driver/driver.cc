#include "cuda/driver/driver.h"

#include <dlfcn.h>

#include "cuda/driver/kernel_images.h"

namespace pyramidion::cuda {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";

// Fills api from the library; what is wrong, or nothing.
std::string load(DriverApi& api) {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* error = dlerror();
    return std::string("no NVIDIA driver: ") + (error != nullptr ? error : kLibrary);
  }
#define PYRAMIDION_LOAD(name, ...)                                        \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, #name)); \
  if (api.name == nullptr) return "the NVIDIA driver is too old: it has no " #name;
  PYRAMIDION_DRIVER_FUNCTIONS(PYRAMIDION_LOAD)
#undef PYRAMIDION_LOAD
  return "";
}

Driver open() {
  static DriverApi api;
  Driver result;
  result.reason = load(api);
  if (!result.reason.empty()) return result;
  if (const CUresult error = api.cuInit(0)) {
    result.reason =
        error == CUDA_ERROR_NO_DEVICE ? "the NVIDIA driver finds no device" : describe(api, "cuInit", error);
    return result;
  }
  if (const CUresult error = api.cuDriverGetVersion(&result.version)) {
    result.reason = describe(api, "cuDriverGetVersion", error);
    return result;
  }
  if (result.version < required_driver_version()) {
    result.reason = "the NVIDIA driver serves CUDA " + version_text(result.version) + "; CUDA " +
                    version_text(required_driver_version()) + " is needed";
    return result;
  }
  result.api = &api;
  return result;
}

}  // namespace

const Driver& driver() {
  static const Driver& opened = *new Driver(open());
  return opened;
}

const DriverApi& driver_api() {
  const Driver& opened = driver();
  if (opened.api == nullptr) throw Error("DEVICE_UNAVAILABLE", opened.reason);
  return *opened.api;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string describe(const DriverApi& api, const char* function, CUresult result) {
  const char *name = nullptr, *text = nullptr;
  if (api.cuGetErrorName(result, &name) != CUDA_SUCCESS || name == nullptr) name = "an unknown error";
  std::string message = std::string(function) + ": " + name + " " + std::to_string(result);
  if (api.cuGetErrorString(result, &text) == CUDA_SUCCESS && text != nullptr) message += std::string(" (") + text + ")";
  return message;
}

void check(const char* function, CUresult result) {
  if (result == CUDA_SUCCESS) return;
  throw Error(result == CUDA_ERROR_OUT_OF_MEMORY ? "OUT_OF_MEMORY" : "DEVICE_ERROR",
              describe(driver_api(), function, result));
}

}  // namespace pyramidion::cuda
