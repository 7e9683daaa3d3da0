// A device in use: its primary context, kept until the process ends, and the functions of the embedded kernels, loaded
// when first asked for. Contexts are current to a thread only while a Current lives, so that other users of CUDA in the
// process keep theirs.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "cuda/driver/device.h"
#include "cuda/driver/driver.h"

namespace pyramidion::cuda {

class Context {
 public:
  // The process's only context of the first usable device. Throws DEVICE_UNAVAILABLE, DEVICE_ERROR, OUT_OF_MEMORY.
  static const Context& shared();

  const DeviceInfo& device() const { return device_; }

  // The kernel `name` of native/cuda/kernels/<family>.cu, which may then be launched with `shared_bytes` of dynamic
  // shared memory. The context must be current.
  CUfunction function(const std::string& family, const std::string& name, size_t shared_bytes = 0) const;

  class Current {
   public:
    explicit Current(const Context& context);
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;
  };

 private:
  explicit Context(DeviceInfo device);
  CUmodule module(const std::string& family) const;

  DeviceInfo device_;
  CUcontext handle_ = nullptr;
  mutable std::mutex mutex_;
  mutable std::map<std::string, CUmodule> modules_;
  // With the most dynamic shared memory that was asked for.
  mutable std::map<std::string, std::pair<CUfunction, size_t>> functions_;
};

}  // namespace pyramidion::cuda
