// cuBLAS, where the machine has it: the product of f16 matrices that the fused layers are compared with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda/driver/driver_api.h"

namespace bench {

class Cublas {
 public:
  // Opens libcublas.so of CUDA 13, 12 or 11. The context must be current.
  explicit Cublas(pyramidion::cuda::CUstream stream);

  bool available() const { return multiply_ != nullptr; }
  // The library's name, or why there is none.
  const std::string& what() const { return what_; }

  // y (tokens x rows) = x (tokens x columns) W^T, all f16 on the device, W rows x columns. Throws std::runtime_error.
  void multiply(pyramidion::cuda::CUdeviceptr weights, pyramidion::cuda::CUdeviceptr x, pyramidion::cuda::CUdeviceptr y,
                size_t rows, size_t columns, size_t tokens) const;

 private:
  using Multiply = int (*)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int,
                           const void*, void*, int, int, int, int);

  std::string what_;
  void* handle_ = nullptr;
  Multiply multiply_ = nullptr;
};

}  // namespace bench
