#include "cuda/driver/context.h"

#include <utility>

#include "cuda/driver/kernel_images.h"

namespace pyramidion::cuda {
namespace {

// What a launch may use without being asked first.
constexpr size_t kFreeSharedBytes = 48 << 10;

}  // namespace

const Context& Context::shared() {
  // A failure throws out of the initialisation, which the next call tries again.
  static const Context& context = *new Context(default_device());
  return context;
}

Context::Context(DeviceInfo device) : device_(std::move(device)) {
  const DriverApi& api = driver_api();
  CUdevice handle = 0;
  check("cuDeviceGet", api.cuDeviceGet(&handle, device_.index));
  check("cuDevicePrimaryCtxRetain", api.cuDevicePrimaryCtxRetain(&handle_, handle));
}

CUmodule Context::module(const std::string& family) const {
  const auto loaded = modules_.find(family);
  if (loaded != modules_.end()) return loaded->second;
  for (const KernelImage& image : kernel_images()) {
    if (family != image.family) continue;
    CUmodule module = nullptr;
    check("cuModuleLoadData", driver_api().cuModuleLoadData(&module, image.fatbin));
    return modules_[family] = module;
  }
  throw Error("INTERNAL", "no kernels of the family " + family);
}

CUfunction Context::function(const std::string& family, const std::string& name, size_t shared_bytes) const {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = functions_.find(name);
  if (found == functions_.end()) {
    CUfunction function = nullptr;
    check(("cuModuleGetFunction " + name).c_str(),
          driver_api().cuModuleGetFunction(&function, module(family), name.c_str()));
    found = functions_.emplace(name, std::make_pair(function, kFreeSharedBytes)).first;
  }
  auto& [function, allowed] = found->second;
  if (shared_bytes > allowed) {
    check("cuFuncSetAttribute",
          driver_api().cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                          static_cast<int>(shared_bytes)));
    allowed = shared_bytes;
  }
  return function;
}

Context::Current::Current(const Context& context) {
  check("cuCtxPushCurrent", driver_api().cuCtxPushCurrent_v2(context.handle_));
}

Context::Current::~Current() {
  CUcontext popped = nullptr;
  driver_api().cuCtxPopCurrent_v2(&popped);
}

}  // namespace pyramidion::cuda
