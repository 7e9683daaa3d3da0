// The part of NVIDIA's driver API that this library calls, declared here so that the addon builds without the CUDA
// toolkit and links no CUDA library. Names, types and numbers are those of cuda.h, whose binary interface is stable;
// test/native/cuda/driver_api_test.cc compares them with the real header where there is one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyramidion::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;

constexpr CUresult CUDA_SUCCESS = 0, CUDA_ERROR_OUT_OF_MEMORY = 2, CUDA_ERROR_NO_DEVICE = 100;
// Of cuDeviceGetAttribute.
constexpr int CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,

              CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
              CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97;
// Of cuFuncSetAttribute: bytes of dynamic shared memory a launch may ask for.
constexpr int CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8;
// Of cuStreamCreate: no order with the default stream.
constexpr unsigned CU_STREAM_NON_BLOCKING = 1;

// X(name, parameters...) for each function; all return a CUresult.
#define PYRAMIDION_DRIVER_FUNCTIONS(X)                                                                        \
  X(cuInit, unsigned flags)                                                                                   \
  X(cuDriverGetVersion, int* version)                                                                         \
  X(cuGetErrorName, CUresult error, const char** name)                                                        \
  X(cuGetErrorString, CUresult error, const char** text)                                                      \
  X(cuDeviceGetCount, int* count)                                                                             \
  X(cuDeviceGet, CUdevice* device, int ordinal)                                                               \
  X(cuDeviceGetName, char* name, int size, CUdevice device)                                                   \
  X(cuDeviceGetAttribute, int* value, int attribute, CUdevice device)                                         \
  X(cuDeviceTotalMem_v2, size_t* bytes, CUdevice device)                                                      \
  X(cuDevicePrimaryCtxRetain, CUcontext* context, CUdevice device)                                            \
  X(cuCtxPushCurrent_v2, CUcontext context)                                                                   \
  X(cuCtxPopCurrent_v2, CUcontext* context)                                                                   \
  X(cuModuleLoadData, CUmodule* module, const void* image)                                                    \
  X(cuModuleGetFunction, CUfunction* function, CUmodule module, const char* name)                             \
  X(cuFuncSetAttribute, CUfunction function, int attribute, int value)                                        \
  X(cuMemGetInfo_v2, size_t* available, size_t* total)                                                        \
  X(cuMemAlloc_v2, CUdeviceptr* pointer, size_t bytes)                                                        \
  X(cuMemFree_v2, CUdeviceptr pointer)                                                                        \
  X(cuMemAllocHost_v2, void** pointer, size_t bytes)                                                          \
  X(cuMemFreeHost, void* pointer)                                                                             \
  X(cuMemcpyHtoDAsync_v2, CUdeviceptr to, const void* from, size_t bytes, CUstream stream)                    \
  X(cuMemcpyDtoHAsync_v2, void* to, CUdeviceptr from, size_t bytes, CUstream stream)                          \
  X(cuMemsetD8Async, CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream)                      \
  X(cuMemcpyDtoDAsync_v2, CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)                    \
  X(cuStreamCreate, CUstream* stream, unsigned flags)                                                         \
  X(cuStreamSynchronize, CUstream stream)                                                                     \
  X(cuStreamDestroy_v2, CUstream stream)                                                                      \
  X(cuEventCreate, CUevent* event, unsigned flags)                                                            \
  X(cuEventRecord, CUevent event, CUstream stream)                                                            \
  X(cuEventElapsedTime, float* milliseconds, CUevent start, CUevent end)                                      \
  X(cuEventDestroy_v2, CUevent event)                                                                         \
  X(cuLaunchKernel, CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, \
    unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void** parameters, void** extra)

// The functions of the driver that was opened.
struct DriverApi {
#define PYRAMIDION_DRIVER_FIELD(name, ...) CUresult (*name)(__VA_ARGS__);
  PYRAMIDION_DRIVER_FUNCTIONS(PYRAMIDION_DRIVER_FIELD)
#undef PYRAMIDION_DRIVER_FIELD
};

}  // namespace pyramidion::cuda
