#include "cuda/driver/stream.h"

namespace pyramidion::cuda {

Stream::Stream(const Context& context) : context_(context) {
  check("cuStreamCreate", driver_api().cuStreamCreate(&handle_, CU_STREAM_NON_BLOCKING));
}

Stream::~Stream() {
  try {
    const Context::Current current(context_);
    driver_api().cuStreamDestroy_v2(handle_);
  } catch (const Error&) {
    // A device that failed has nothing left to destroy.
  }
}

void Stream::upload(const DeviceBuffer& to, const void* from, size_t bytes) {
  check("cuMemcpyHtoDAsync", driver_api().cuMemcpyHtoDAsync_v2(to.address(), from, bytes, handle_));
}

void Stream::download(void* to, const DeviceBuffer& from, size_t bytes) {
  check("cuMemcpyDtoHAsync", driver_api().cuMemcpyDtoHAsync_v2(to, from.address(), bytes, handle_));
}

void Stream::clear(const DeviceBuffer& buffer) {
  check("cuMemsetD8Async", driver_api().cuMemsetD8Async(buffer.address(), 0, buffer.bytes(), handle_));
}

void Stream::launch_addresses(CUfunction function, Extent grid, Extent block, size_t shared_bytes, void** parameters) {
  check("cuLaunchKernel",
        driver_api().cuLaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                    static_cast<unsigned>(shared_bytes), handle_, parameters, nullptr));
}

void Stream::synchronize() { check("cuStreamSynchronize", driver_api().cuStreamSynchronize(handle_)); }

}  // namespace pyramidion::cuda
