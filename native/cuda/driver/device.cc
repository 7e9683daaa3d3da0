#include "cuda/driver/device.h"

#include "cuda/driver/driver.h"
#include "cuda/driver/kernel_images.h"

namespace pyramidion::cuda {
namespace {

// The oldest that the kernels are compiled for: cp.async and mma.m16n8k16 begin there.
constexpr int kLeastMajor = 8;

constexpr const char* kNoKernels = "pyramidion was built without CUDA kernels: nvcc was not found then";

DeviceInfo device_info(const DriverApi& api, int index) {
  CUdevice device = 0;
  check("cuDeviceGet", api.cuDeviceGet(&device, index));
  char name[256] = {};
  check("cuDeviceGetName", api.cuDeviceGetName(name, sizeof(name) - 1, device));
  const auto attribute = [&](int which) {
    int value = 0;
    check("cuDeviceGetAttribute", api.cuDeviceGetAttribute(&value, which, device));
    return value;
  };
  DeviceInfo info{index,
                  name,
                  attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                  attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
                  0,
                  attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
                  static_cast<size_t>(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)),
                  ""};
  check("cuDeviceTotalMem", api.cuDeviceTotalMem_v2(&info.memory_bytes, device));
  if (kernel_images().empty()) {
    info.reason = kNoKernels;
  } else if (info.compute_major < kLeastMajor) {
    info.reason = "its compute capability is " + std::to_string(info.compute_major) + "." +
                  std::to_string(info.compute_minor) + "; 8.0 or more is needed";
  }
  return info;
}

}  // namespace

DeviceList list_devices() {
  DeviceList list;
  const Driver& opened = driver();
  if (opened.api == nullptr) {
    list.reason = kernel_images().empty() ? kNoKernels : opened.reason;
    return list;
  }
  try {
    int count = 0;
    check("cuDeviceGetCount", opened.api->cuDeviceGetCount(&count));
    for (int index = 0; index < count; ++index) list.devices.push_back(device_info(*opened.api, index));
    if (count == 0) list.reason = "the NVIDIA driver finds no device";
  } catch (const Error& error) {
    list.devices.clear();
    list.reason = error.what();
  }
  return list;
}

DeviceInfo default_device() {
  DeviceList list = list_devices();
  for (DeviceInfo& device : list.devices) {
    if (device.usable()) return std::move(device);
  }
  if (list.devices.empty()) throw Error("DEVICE_UNAVAILABLE", list.reason);
  const DeviceInfo& first = list.devices.front();
  throw Error("DEVICE_UNAVAILABLE", first.name + " cannot be used: " + first.reason);
}

}  // namespace pyramidion::cuda
