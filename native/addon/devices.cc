// What the GPU driver shows.
#include "addon/job.h"
#include "addon/register.h"
#include "cuda/driver/device.h"
#include "cuda/driver/driver.h"

namespace pyramidion {
namespace {

Operation cuda_devices(Call&) {
  const auto list = std::make_shared<cuda::DeviceList>();
  Operation operation;
  operation.work = [=] { *list = cuda::list_devices(); };
  operation.result = [=](Napi::Env env) -> Napi::Value {
    Napi::Array devices = Napi::Array::New(env);
    for (const cuda::DeviceInfo& info : list->devices) {
      Napi::Object device = Napi::Object::New(env);
      device["index"] = Napi::Number::New(env, info.index);
      device["name"] = Napi::String::New(env, info.name);
      device["computeCapability"] =
          Napi::String::New(env, std::to_string(info.compute_major) + "." + std::to_string(info.compute_minor));
      device["memoryBytes"] = Napi::Number::New(env, static_cast<double>(info.memory_bytes));
      device["multiprocessors"] = Napi::Number::New(env, info.multiprocessors);
      if (!info.usable()) device["reason"] = Napi::String::New(env, info.reason);
      devices[devices.Length()] = device;
    }
    Napi::Object result = Napi::Object::New(env);
    result["devices"] = devices;
    if (!list->reason.empty()) result["reason"] = Napi::String::New(env, list->reason);
    const int version = cuda::driver().version;
    if (version > 0) result["driver"] = Napi::String::New(env, cuda::version_text(version));
    return result;
  };
  return operation;
}

}  // namespace

void register_devices(Napi::Object exports) { export_asynchronous(exports, "cudaDevicesAsync", cuda_devices); }

}  // namespace pyramidion
