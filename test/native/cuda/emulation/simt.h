// CUDA C++ for the host compiler: what native/cuda/kernels use of the language, so that the same sources run on a
// machine without a GPU, under sanitizers. Inline PTX has a host branch beside it (kernels/tensor_core.cuh).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "emulation/half.h"
#include "emulation/scheduler.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict

#define threadIdx (simt::current->index)
#define blockIdx (simt::current->block)
#define blockDim (simt::current->block_size)
#define gridDim (simt::current->grid_size)

namespace simt {

// Array types need a name before they can be a reference's.
template <class T>
using type = T;

template <class T>
T& shared_variable(const void* key) {
  return *static_cast<T*>(static_shared(key, sizeof(T)));
}

template <class... Parameters, class... Arguments>
void run(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t dynamic_shared, const Arguments&... arguments) {
  auto body = [&] { kernel(arguments...); };
  launch(
      grid, block, dynamic_shared, [](void* pointer) { (*static_cast<decltype(body)*>(pointer))(); }, &body);
}

template <class T>
T shuffle_value(unsigned mask, T value, ShuffleMode mode, int argument, int width, Place place) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle(mask, bits, mode, argument, width, place);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace simt

#define SHARED_VARIABLE(T, name)     \
  static const char name##_key_ = 0; \
  simt::type<T>& name = simt::shared_variable<simt::type<T>>(&name##_key_)
#define SHARED_DYNAMIC(T, name) T* const name = static_cast<T*>(simt::dynamic_shared())

#define SIMT_PLACE_ (simt::Place{__FILE__, __LINE__})
#define SIMT_FIRST_(first, ...) first
#define SIMT_OR_(otherwise, ...) SIMT_FIRST_(__VA_ARGS__ __VA_OPT__(, ) otherwise)

#define __syncthreads() static_cast<void>(simt::barrier(0, SIMT_PLACE_))
#define __syncthreads_or(predicate) (simt::barrier(predicate, SIMT_PLACE_) != 0)
#define __syncwarp(...) simt::sync_warp(SIMT_OR_(0xffffffffu, __VA_ARGS__), SIMT_PLACE_)
#define __shfl_sync(mask, value, lane, ...) \
  simt::shuffle_value(mask, value, simt::ShuffleMode::index, lane, SIMT_OR_(32, __VA_ARGS__), SIMT_PLACE_)
#define __shfl_xor_sync(mask, value, lanes, ...) \
  simt::shuffle_value(mask, value, simt::ShuffleMode::exclusive_or, lanes, SIMT_OR_(32, __VA_ARGS__), SIMT_PLACE_)
#define __shfl_down_sync(mask, value, lanes, ...) \
  simt::shuffle_value(mask, value, simt::ShuffleMode::down, lanes, SIMT_OR_(32, __VA_ARGS__), SIMT_PLACE_)
#define __any_sync(mask, predicate) (simt::vote(mask, predicate, SIMT_PLACE_) != 0)
#define __ballot_sync(mask, predicate) simt::vote(mask, predicate, SIMT_PLACE_)

template <class T>
inline T __ldg(const T* pointer) {
  // As the hardware wants it.
  if (reinterpret_cast<uintptr_t>(pointer) % sizeof(T) != 0) simt::fail({"__ldg", 0}, "misaligned address");
  return *pointer;
}
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return static_cast<uint32_t>(static_cast<uint64_t>(a) * b >> 32); }
inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t shift) {
  return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}
inline uint32_t __byte_perm(uint32_t x, uint32_t y, uint32_t selector) {
  const uint64_t bytes = static_cast<uint64_t>(y) << 32 | x;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<uint32_t>(bytes >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
  return result;
}
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) c += static_cast<int8_t>(a >> 8 * i) * static_cast<int8_t>(b >> 8 * i);
  return c;
}
inline int __clz(int value) { return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value)); }
inline int __float2int_rn(float value) { return static_cast<int>(std::nearbyintf(value)); }
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline float rsqrtf(float value) { return 1 / std::sqrt(value); }
