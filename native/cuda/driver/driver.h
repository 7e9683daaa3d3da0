// The driver of this process: libcuda.so.1, opened when it is first asked for and never closed. A machine without one
// is an ordinary case: nothing fails before somebody asks for a device.
#pragma once

#include <string>

#include "core/error.h"
#include "cuda/driver/driver_api.h"

namespace pyramidion::cuda {

struct Driver {
  // Null where no driver can be used; `reason` then says why.
  const DriverApi* api = nullptr;
  std::string reason;
  // 1000 * major + 10 * minor of the newest CUDA release that the driver serves; 0 when it could not be asked.
  int version = 0;
};

// Opened and initialised by the first call, from any thread.
const Driver& driver();
// Its functions. Throws DEVICE_UNAVAILABLE with the reason where there are none.
const DriverApi& driver_api();

// "12.4" for 12040.
std::string version_text(int version);

// "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (out of memory)"
std::string describe(const DriverApi& api, const char* function, CUresult result);
// Throws OUT_OF_MEMORY or DEVICE_ERROR unless the call of that name succeeded.
void check(const char* function, CUresult result);

}  // namespace pyramidion::cuda
