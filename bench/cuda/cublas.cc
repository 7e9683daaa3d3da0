#include "cublas.h"

#include <dlfcn.h>

#include <stdexcept>

namespace bench {
namespace {

// Of cublas_api.h and library_types.h.
constexpr int kTransposed = 1, kPlain = 0, kHalf = 2, kComputeFloat = 68, kDefaultAlgorithm = -1;

}  // namespace

Cublas::Cublas(pyramidion::cuda::CUstream stream) {
  void* library = nullptr;
  for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"}) {
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    what_ = name;
    break;
  }
  if (library == nullptr) {
    what_ = "no libcublas.so";
    return;
  }
  const auto create = reinterpret_cast<int (*)(void**)>(dlsym(library, "cublasCreate_v2"));
  const auto set_stream =
      reinterpret_cast<int (*)(void*, pyramidion::cuda::CUstream)>(dlsym(library, "cublasSetStream_v2"));
  const auto multiply = reinterpret_cast<Multiply>(dlsym(library, "cublasGemmEx"));
  if (create == nullptr || set_stream == nullptr || multiply == nullptr || create(&handle_) != 0 ||
      set_stream(handle_, stream) != 0) {
    what_ += " cannot be used";
    return;
  }
  multiply_ = multiply;
}

// Column-major there: y^T = W x^T with W stored by rows is a transposed first factor.
void Cublas::multiply(pyramidion::cuda::CUdeviceptr weights, pyramidion::cuda::CUdeviceptr x,
                      pyramidion::cuda::CUdeviceptr y, size_t rows, size_t columns, size_t tokens) const {
  const float one = 1, zero = 0;
  const int m = static_cast<int>(rows), n = static_cast<int>(tokens), k = static_cast<int>(columns);
  const int status = multiply_(handle_, kTransposed, kPlain, m, n, k, &one, reinterpret_cast<const void*>(weights),
                               kHalf, k, reinterpret_cast<const void*>(x), kHalf, k, &zero, reinterpret_cast<void*>(y),
                               kHalf, m, kComputeFloat, kDefaultAlgorithm);
  if (status != 0) throw std::runtime_error("cublasGemmEx failed with " + std::to_string(status));
}

}  // namespace bench
