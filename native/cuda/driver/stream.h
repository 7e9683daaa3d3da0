// A queue of copies and launches on a device. Every method needs the context to be current.
#pragma once

#include <cstddef>

#include "cuda/driver/context.h"
#include "cuda/driver/memory.h"

namespace pyramidion::cuda {

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

class Stream {
 public:
  explicit Stream(const Context& context);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Asynchronous where the host's side is pinned: `from` and `to` must then live until synchronize().
  void upload(const DeviceBuffer& to, const void* from, size_t bytes);
  void download(void* to, const DeviceBuffer& from, size_t bytes);
  // Zeros all of it.
  void clear(const DeviceBuffer& buffer);

  // Parameters are copied before it returns; each must be of the type the kernel declares.
  template <class... Parameters>
  void launch(CUfunction function, Extent grid, Extent block, size_t shared_bytes, const Parameters&... parameters) {
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(&parameters))...};
    launch_addresses(function, grid, block, shared_bytes, addresses);
  }

  // Waits for all of it. What went wrong in a kernel is thrown here, as DEVICE_ERROR.
  void synchronize();

  CUstream handle() const { return handle_; }

 private:
  void launch_addresses(CUfunction function, Extent grid, Extent block, size_t shared_bytes, void** parameters);

  const Context& context_;
  CUstream handle_ = nullptr;
};

}  // namespace pyramidion::cuda
