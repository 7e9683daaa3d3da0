// The one difference between CUDA C++ and its emulation on the host (test/native/cuda/emulation), where the same
// kernels run without a GPU: where the language comes from, and how shared memory is declared.
//
// Kernels are compiled with --fmad=false, as the CPU's sources are without contraction: where both do the same
// operations they get the same bits. Where the order of a sum is free, kernels say fmaf.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_fp16.h>

namespace simt {
// Array types need a name before they can be a variable's.
template <class T>
using type = T;
}  // namespace simt

#define SHARED_VARIABLE(T, name) __shared__ __align__(16) simt::type<T> name
#define SHARED_DYNAMIC(T, name)                                    \
  extern __shared__ __align__(16) unsigned char dynamic_shared_[]; \
  T* const name = reinterpret_cast<T*>(dynamic_shared_)

#else

#include "emulation/simt.h"

#endif
