#include "cuda/driver/memory.h"

#include <string>

namespace pyramidion::cuda {
namespace {

[[noreturn]] void refuse(const char* kind, size_t bytes, const std::string& cause) {
  size_t available = 0, total = 0;
  std::string message = std::string("no ") + kind + " for " + std::to_string(bytes) + " bytes";
  if (driver_api().cuMemGetInfo_v2(&available, &total) == CUDA_SUCCESS) {
    message += ", " + std::to_string(available) + " of " + std::to_string(total) + " bytes of the device are free";
  }
  throw Error("OUT_OF_MEMORY", message + ": " + cause);
}

// For destructors: a device that failed cannot free either, and there is nobody to tell.
template <class Action>
void quietly(const Context& context, Action action) {
  try {
    const Context::Current current(context);
    action();
  } catch (const Error&) {
  }
}

}  // namespace

DeviceBuffer::DeviceBuffer(const Context& context, size_t bytes) : context_(&context), bytes_(bytes) {
  if (bytes == 0) return;
  const Context::Current current(context);
  const CUresult result = driver_api().cuMemAlloc_v2(&address_, bytes);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) refuse("device memory", bytes, describe(driver_api(), "cuMemAlloc", result));
  check("cuMemAlloc", result);
}

DeviceBuffer::~DeviceBuffer() {
  if (address_ != 0) quietly(*context_, [this] { driver_api().cuMemFree_v2(address_); });
}

PinnedBuffer::PinnedBuffer(const Context& context, size_t bytes) : context_(&context), bytes_(bytes) {
  if (bytes == 0) return;
  const Context::Current current(context);
  const CUresult result = driver_api().cuMemAllocHost_v2(&data_, bytes);
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    refuse("pinned memory", bytes, describe(driver_api(), "cuMemAllocHost", result));
  check("cuMemAllocHost", result);
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) quietly(*context_, [this] { driver_api().cuMemFreeHost(data_); });
}

}  // namespace pyramidion::cuda
