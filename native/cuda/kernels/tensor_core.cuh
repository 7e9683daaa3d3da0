// The instructions of the tensor cores that the kernels use (PTX ISA 9.7.14), and what they do on the host.
#pragma once

#include "cuda/kernels/target.cuh"

namespace pyramidion::cuda {

// d (16 x 8, float) += a (16 x 16, f16, row-major) b (16 x 8, f16, column-major), spread over a warp.
__device__ __forceinline__ void multiply_accumulate(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDACC__)
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  simt::multiply_accumulate(d, a, b, {__FILE__, __LINE__});
#endif
}

// Four 8 x 8 matrices of halves from shared memory: lane i gives the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ void load_matrices(uint32_t (&out)[4], const __half* row) {
#if defined(__CUDACC__)
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
#else
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) simt::fail({__FILE__, __LINE__}, "ldmatrix row is not on 16 bytes");
  uint32_t words[4];
  std::memcpy(words, row, sizeof(words));
  simt::load_matrix(words, out, 4, {__FILE__, __LINE__});
#endif
}

}  // namespace pyramidion::cuda
