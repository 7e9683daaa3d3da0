// A libcuda.so.1 for tests: the functions of the driver API that this library calls, over one simulated device whose
// kernels are interpreted PTX. The environment says what is wrong with it:
//
//   MOCK_CUDA_DEVICES=0               the driver is there, a device is not
//   MOCK_CUDA_VERSION=12040           the driver is older
//   MOCK_CUDA_CAPABILITY=75           the device is older
//   MOCK_CUDA_MEMORY=BYTES            the device has less memory than 4 GiB
//   MOCK_CUDA_FAIL=FUNCTION=RESULT    a function fails
//
// Copies from and to pinned memory and launches run when their stream is waited for, so that a buffer that does not
// live long enough is found. A fault or hazard in a kernel is printed to standard error and fails everything from then
// on, as a fault of a GPU does.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "cuda/driver/driver_api.h"
#include "device_memory.h"
#include "fatbin.h"
#include "interpreter.h"

// What the handles are here.
namespace pyramidion::cuda {
struct CUctx_st {};
struct CUmod_st {
  std::unique_ptr<ptxsim::Module> module;
  std::map<std::string, CUfunc_st> functions;
};
struct CUfunc_st {
  ptxsim::Kernel* kernel;
};
struct CUstream_st {
  std::vector<std::function<CUresult()>> work;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point time;
};
}  // namespace pyramidion::cuda

using namespace pyramidion::cuda;

namespace {

constexpr CUresult CUDA_ERROR_INVALID_VALUE = 1, CUDA_ERROR_INVALID_CONTEXT = 201, CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
                   CUDA_ERROR_INVALID_PTX = 218, CUDA_ERROR_NOT_FOUND = 500;

// What a block of compute capability 8.6 and 8.9 may have, the least of all targets.
constexpr int kMostShared = 99 << 10;

// The device does one thing at a time.
std::recursive_mutex device_mutex;
// What every call returns once a kernel failed.
CUresult failed = CUDA_SUCCESS;
// Contexts pushed by this thread.
thread_local int current_contexts = 0;
CUctx_st the_context;
std::set<CUstream> streams;
std::map<char*, size_t> pinned;

long setting(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtol(text, nullptr, 10) : otherwise;
}

size_t device_bytes() { return static_cast<size_t>(setting("MOCK_CUDA_MEMORY", 4L << 30)); }

CUresult wanted_failure(const char* function) {
  const char* text = std::getenv("MOCK_CUDA_FAIL");
  if (text == nullptr) return CUDA_SUCCESS;
  const std::string wanted = text;
  const size_t split = wanted.find('=');
  return wanted.substr(0, split) == function ? std::atoi(wanted.c_str() + split + 1) : CUDA_SUCCESS;
}

bool is_pinned(const void* pointer, size_t bytes) {
  char* address = static_cast<char*>(const_cast<void*>(pointer));
  auto next = pinned.upper_bound(address);
  if (next == pinned.begin()) return false;
  const auto& [start, size] = *--next;
  return address + bytes <= start + size;
}

CUresult run_all(CUstream stream) {
  for (const auto& work : stream->work) {
    if (failed == CUDA_SUCCESS) failed = work();
  }
  stream->work.clear();
  return failed;
}

// Later where the host's side is pinned; now, behind all that went before, where it is not.
CUresult copy(CUstream stream, const void* host, size_t bytes, std::function<CUresult()> work) {
  stream->work.push_back(std::move(work));
  return is_pinned(host, bytes) ? CUDA_SUCCESS : run_all(stream);
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default"))) CUresult
#define BEGIN                                                     \
  const std::lock_guard<std::recursive_mutex> lock(device_mutex); \
  if (const CUresult wanted = wanted_failure(__func__)) return wanted
#define BEGIN_IN_CONTEXT                                        \
  BEGIN;                                                        \
  if (current_contexts == 0) return CUDA_ERROR_INVALID_CONTEXT; \
  if (failed != CUDA_SUCCESS) return failed

EXPORTED cuInit(unsigned) {
  BEGIN;
  return setting("MOCK_CUDA_DEVICES", 1) == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}

EXPORTED cuDriverGetVersion(int* version) {
  BEGIN;
  *version = static_cast<int>(setting("MOCK_CUDA_VERSION", 13000));
  return CUDA_SUCCESS;
}

EXPORTED cuGetErrorName(CUresult error, const char** name) {
  static const std::map<CUresult, const char*> names = {{0, "CUDA_SUCCESS"},
                                                        {1, "CUDA_ERROR_INVALID_VALUE"},
                                                        {2, "CUDA_ERROR_OUT_OF_MEMORY"},
                                                        {100, "CUDA_ERROR_NO_DEVICE"},
                                                        {201, "CUDA_ERROR_INVALID_CONTEXT"},
                                                        {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
                                                        {218, "CUDA_ERROR_INVALID_PTX"},
                                                        {500, "CUDA_ERROR_NOT_FOUND"},
                                                        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
                                                        {716, "CUDA_ERROR_MISALIGNED_ADDRESS"},
                                                        {719, "CUDA_ERROR_LAUNCH_FAILED"},
                                                        {999, "CUDA_ERROR_UNKNOWN"}};
  const auto found = names.find(error);
  if (found == names.end()) return CUDA_ERROR_INVALID_VALUE;
  *name = found->second;
  return CUDA_SUCCESS;
}

EXPORTED cuGetErrorString(CUresult, const char** text) {
  *text = "said by the mock driver";
  return CUDA_SUCCESS;
}

EXPORTED cuDeviceGetCount(int* count) {
  BEGIN;
  *count = static_cast<int>(setting("MOCK_CUDA_DEVICES", 1));
  return CUDA_SUCCESS;
}

EXPORTED cuDeviceGet(CUdevice* device, int ordinal) {
  BEGIN;
  *device = ordinal;
  return CUDA_SUCCESS;
}

EXPORTED cuDeviceGetName(char* name, int size, CUdevice) {
  BEGIN;
  std::snprintf(name, static_cast<size_t>(size), "simulated device");
  return CUDA_SUCCESS;
}

EXPORTED cuDeviceGetAttribute(int* value, int attribute, CUdevice) {
  BEGIN;
  const long capability = setting("MOCK_CUDA_CAPABILITY", 80);
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      *value = static_cast<int>(capability / 10);
      break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      *value = static_cast<int>(capability % 10);
      break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      *value = 2;
      break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      *value = kMostShared;
      break;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

EXPORTED cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
  BEGIN;
  *bytes = device_bytes();
  return CUDA_SUCCESS;
}

EXPORTED cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  BEGIN;
  *context = &the_context;
  return CUDA_SUCCESS;
}

EXPORTED cuCtxPushCurrent_v2(CUcontext context) {
  BEGIN;
  if (context != &the_context) return CUDA_ERROR_INVALID_CONTEXT;
  ++current_contexts;
  return CUDA_SUCCESS;
}

EXPORTED cuCtxPopCurrent_v2(CUcontext* context) {
  BEGIN;
  if (current_contexts == 0) return CUDA_ERROR_INVALID_CONTEXT;
  --current_contexts;
  if (context != nullptr) *context = &the_context;
  return CUDA_SUCCESS;
}

EXPORTED cuModuleLoadData(CUmodule* module, const void* image) {
  BEGIN_IN_CONTEXT;
  try {
    const std::string ptx = ptxsim::ptx_of(image);
    if (ptx.empty()) return CUDA_ERROR_NO_BINARY_FOR_GPU;
    auto loaded = std::unique_ptr<ptxsim::Module>(ptxsim::load_module(ptx));
    *module = new CUmod_st{std::move(loaded), {}};
    return CUDA_SUCCESS;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "PTXSIM %s\n", error.what());
    return CUDA_ERROR_INVALID_PTX;
  }
}

EXPORTED cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  BEGIN_IN_CONTEXT;
  const auto found = module->module->kernels.find(name);
  if (found == module->module->kernels.end()) return CUDA_ERROR_NOT_FOUND;
  *function = &(module->functions[name] = CUfunc_st{&found->second});
  return CUDA_SUCCESS;
}

EXPORTED cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  BEGIN_IN_CONTEXT;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value > kMostShared)
    return CUDA_ERROR_INVALID_VALUE;
  function->kernel->allowed_shared = static_cast<size_t>(value);
  return CUDA_SUCCESS;
}

EXPORTED cuMemGetInfo_v2(size_t* available, size_t* total) {
  BEGIN_IN_CONTEXT;
  *total = device_bytes();
  *available = *total - ptxsim::allocated_bytes();
  return CUDA_SUCCESS;
}

EXPORTED cuMemAlloc_v2(CUdeviceptr* pointer, size_t bytes) {
  BEGIN_IN_CONTEXT;
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  void* memory = ptxsim::allocated_bytes() + bytes > device_bytes() ? nullptr : ptxsim::allocate(bytes);
  *pointer = reinterpret_cast<CUdeviceptr>(memory);
  return memory != nullptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

EXPORTED cuMemFree_v2(CUdeviceptr pointer) {
  BEGIN_IN_CONTEXT;
  for (CUstream stream : streams) run_all(stream);
  return ptxsim::release(reinterpret_cast<void*>(pointer)) ? failed : CUDA_ERROR_INVALID_VALUE;
}

EXPORTED cuMemAllocHost_v2(void** pointer, size_t bytes) {
  BEGIN_IN_CONTEXT;
  *pointer = std::malloc(bytes);
  pinned[static_cast<char*>(*pointer)] = bytes;
  return CUDA_SUCCESS;
}

EXPORTED cuMemFreeHost(void* pointer) {
  BEGIN_IN_CONTEXT;
  for (CUstream stream : streams) run_all(stream);
  if (pinned.erase(static_cast<char*>(pointer)) == 0) return CUDA_ERROR_INVALID_VALUE;
  std::free(pointer);
  return failed;
}

EXPORTED cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  BEGIN_IN_CONTEXT;
  if (ptxsim::find_allocation(to, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return copy(stream, from, bytes, [=] {
    ptxsim::Allocation* allocation = ptxsim::find_allocation(to, bytes);
    if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    allocation->mark_initialised(to - allocation->address, bytes);
    return CUDA_SUCCESS;
  });
}

EXPORTED cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  BEGIN_IN_CONTEXT;
  if (ptxsim::find_allocation(from, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return copy(stream, to, bytes, [=] {
    if (ptxsim::find_allocation(from, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
    return CUDA_SUCCESS;
  });
}

EXPORTED cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  BEGIN_IN_CONTEXT;
  if (ptxsim::find_allocation(to, bytes) == nullptr) return CUDA_ERROR_INVALID_VALUE;
  stream->work.push_back([=] {
    ptxsim::Allocation* allocation = ptxsim::find_allocation(to, bytes);
    if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::memset(reinterpret_cast<void*>(to), value, bytes);
    allocation->mark_initialised(to - allocation->address, bytes);
    return CUDA_SUCCESS;
  });
  return CUDA_SUCCESS;
}

EXPORTED cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  BEGIN_IN_CONTEXT;
  if (ptxsim::find_allocation(from, bytes) == nullptr || ptxsim::find_allocation(to, bytes) == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  stream->work.push_back([=] {
    std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
    ptxsim::Allocation* allocation = ptxsim::find_allocation(to, bytes);
    allocation->mark_initialised(to - allocation->address, bytes);
    return CUDA_SUCCESS;
  });
  return CUDA_SUCCESS;
}

EXPORTED cuStreamCreate(CUstream* stream, unsigned) {
  BEGIN_IN_CONTEXT;
  *stream = new CUstream_st;
  streams.insert(*stream);
  return CUDA_SUCCESS;
}

EXPORTED cuStreamSynchronize(CUstream stream) {
  BEGIN_IN_CONTEXT;
  return run_all(stream);
}

EXPORTED cuStreamDestroy_v2(CUstream stream) {
  BEGIN_IN_CONTEXT;
  run_all(stream);
  streams.erase(stream);
  delete stream;
  return failed;
}

EXPORTED cuEventCreate(CUevent* event, unsigned) {
  BEGIN_IN_CONTEXT;
  *event = new CUevent_st;
  return CUDA_SUCCESS;
}

EXPORTED cuEventRecord(CUevent event, CUstream stream) {
  BEGIN_IN_CONTEXT;
  stream->work.push_back([=] {
    event->time = std::chrono::steady_clock::now();
    return CUDA_SUCCESS;
  });
  return CUDA_SUCCESS;
}

EXPORTED cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  BEGIN_IN_CONTEXT;
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return CUDA_SUCCESS;
}

EXPORTED cuEventDestroy_v2(CUevent event) {
  BEGIN_IN_CONTEXT;
  delete event;
  return CUDA_SUCCESS;
}

EXPORTED cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** parameters,
                        void**) {
  BEGIN_IN_CONTEXT;
  ptxsim::Kernel& kernel = *function->kernel;
  std::string values(kernel.parameter_bytes, '\0');
  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    std::memcpy(&values[kernel.parameters[i].offset], parameters[i], kernel.parameters[i].bytes);
  }
  const ptxsim::Extent grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
  if (!ptxsim::can_launch(kernel, grid, block, shared_bytes)) return CUDA_ERROR_INVALID_VALUE;
  stream->work.push_back([=, &kernel] { return ptxsim::launch(kernel, grid, block, shared_bytes, values.data()); });
  return CUDA_SUCCESS;
}

// The mock's functions are those of the API.
#define CHECK_SIGNATURE(name, ...) static_assert(std::is_same_v<decltype(&name), decltype(DriverApi::name)>);
PYRAMIDION_DRIVER_FUNCTIONS(CHECK_SIGNATURE)
