// What a layer does to its inputs before the product: x' = V x, V = (M (x) S) diag(signs)
// (native/core/linear/rotation.h); x' as the activations' format holds it; and t = A x', the low-rank correction's
// first half. A block takes a token, in shared memory, and a share of the ranks; every block of a token repeats the
// rotation, which costs it less than reading A costs them all.
//
// M goes first, in a kernel of its own that has more than a block a token, because it commutes with S:
// (M (x) I)(I (x) S) = (I (x) S)(M (x) I). Without M the sums are those of the CPU in the same order, so the same bits.
#include "cuda/kernels/target.cuh"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// Stages h, 2 h, ... of the Walsh-Hadamard transform, as many as Stages, on all blocks of the width at once.
template <int Stages>
__device__ __forceinline__ void transform_stages(float* x, uint32_t width, uint32_t h) {
  constexpr uint32_t count = 1u << Stages;
  for (uint32_t unit = threadIdx.x; unit < width / count; unit += kRotateThreads) {
    const uint32_t within = unit & (h - 1), first = (unit - within) * count + within;
    float values[count];
#pragma unroll
    for (uint32_t i = 0; i < count; ++i) values[i] = x[first + i * h];
#pragma unroll
    for (uint32_t step = 1; step < count; step *= 2) {
#pragma unroll
      for (uint32_t i = 0; i < count; ++i) {
        if ((i & step) != 0) continue;
        const float a = values[i], b = values[i + step];
        values[i] = a + b;
        values[i + step] = a - b;
      }
    }
#pragma unroll
    for (uint32_t i = 0; i < count; ++i) x[first + i * h] = values[i];
  }
}

// S on every block, not normalised.
__device__ __forceinline__ void transform_blocks(float* x, uint32_t width, uint32_t block_log2) {
  for (uint32_t stage = 0; stage < block_log2; stage += 3) {
    __syncthreads();
    const uint32_t stages = block_log2 - stage;
    if (stages >= 3) {
      transform_stages<3>(x, width, 1u << stage);
    } else if (stages == 2) {
      transform_stages<2>(x, width, 1u << stage);
    } else {
      transform_stages<1>(x, width, 1u << stage);
    }
  }
  __syncthreads();
}

// Block i of a token becomes sum_k M(i,k) signs block k; a thread makes a value.
extern "C" __global__ void __launch_bounds__(kMixThreads) mix_inputs(MixParameters p) {
  const uint32_t i = blockIdx.x * kMixThreads + threadIdx.x;
  if (i >= p.width) return;
  const size_t token = static_cast<size_t>(blockIdx.y) * p.width;
  const float* row = p.matrix + (i >> p.block_log2) * p.order;
  float sum = 0;
  for (uint32_t k = 0, place = i & ((1u << p.block_log2) - 1); k < p.order; ++k, place += 1u << p.block_log2) {
    sum = fmaf(__ldg(row + k), __ldg(p.x + token + place) * __ldg(p.scaled_signs + place), sum);
  }
  p.out[token + i] = sum;
}

__device__ __forceinline__ void load_inputs(const RotateParameters& p, const float* x, float* rotated) {
  for (uint32_t i = threadIdx.x; i < p.width; i += kRotateThreads) {
    rotated[i] = p.scaled_signs == nullptr ? x[i] : x[i] * __ldg(p.scaled_signs + i);
  }
}

// The largest magnitude of the block's values, infinite when one is not a number.
__device__ __forceinline__ float largest_magnitude(const float* x, uint32_t width) {
  SHARED_VARIABLE(float[kRotateThreads / 32], partial);
  float largest = 0;
  for (uint32_t i = threadIdx.x; i < width; i += kRotateThreads) {
    const float magnitude = fabsf(x[i]);
    largest = magnitude <= largest ? largest : magnitude;
    if (!(magnitude <= 3.4028235e38f)) largest = INFINITY;
  }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, largest, lanes);
    largest = other > largest ? other : largest;
  }
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = largest;
  __syncthreads();
  for (uint32_t warp = 0; warp < kRotateThreads / 32; ++warp)
    largest = partial[warp] > largest ? partial[warp] : largest;
  return largest;
}

// How a format stores a value, given the token's largest magnitude: a unit, and multiples of it.
struct FloatFormat {
  using Value = float;
  static constexpr bool scaled = false;
  __device__ __forceinline__ explicit FloatFormat(float) {}
  __device__ __forceinline__ float scale() const { return 1; }
  __device__ __forceinline__ float store(float x, float* to) const { return *to = x; }
};

// The unit is a power of two for which the largest magnitude is from 8 to below 16: products cannot overflow, and what
// is lost below 2^-24 units is 2^-27 of the largest.
struct HalfFormat {
  using Value = __half;
  static constexpr bool scaled = true;
  float unit, inverse;
  __device__ __forceinline__ explicit HalfFormat(float largest) {
    int exponent = 0;
    frexpf(largest, &exponent);
    // Beyond these ends of the range all is zero, or overflows, anyway.
    exponent = exponent < -120 ? -120 : exponent > 124 ? 124 : exponent;
    unit = ldexpf(1, exponent - 4);
    inverse = ldexpf(1, 4 - exponent);
  }
  __device__ __forceinline__ float scale() const { return unit; }
  __device__ __forceinline__ float store(float x, __half* to) const {
    *to = __float2half_rn(x * inverse);
    return __half2float(*to);
  }
};

// As native/core/linear/activation_quantizer.cc: the largest magnitude is 127, what is below the normal numbers is
// zero.
struct Int8Format {
  using Value = int8_t;
  static constexpr bool scaled = true;
  float unit, inverse;
  __device__ __forceinline__ explicit Int8Format(float largest)
      : unit(largest / 127), inverse(unit >= 1.17549435e-38f ? 127 / largest : 0) {}
  __device__ __forceinline__ float scale() const { return unit; }
  __device__ __forceinline__ float store(float x, int8_t* to) const {
    int multiple = __float2int_rn(x * inverse);
    multiple = multiple > 127 ? 127 : multiple < -127 ? -127 : multiple;
    *to = static_cast<int8_t>(multiple);
    return static_cast<float>(multiple);
  }
};

// The same multiples as halves, which hold them.
struct Int8HalvesFormat : Int8Format {
  using Value = __half;
  using Int8Format::Int8Format;
  __device__ __forceinline__ float store(float x, __half* to) const {
    int8_t multiple;
    const float value = Int8Format::store(x, &multiple);
    *to = __float2half_rn(value);
    return value;
  }
};

__device__ __forceinline__ float zero_value(const float*) { return 0; }
__device__ __forceinline__ __half zero_value(const __half*) { return __ushort_as_half(0); }
__device__ __forceinline__ int8_t zero_value(const int8_t*) { return 0; }

// <A(rank,.), x>, by a warp.
__device__ __forceinline__ float down_dot(const LowRankDown& down, uint32_t rank, const float* x, uint32_t width) {
  const uint32_t blocks = (width + 15) / 16, lane = threadIdx.x % 32;
  const int8_t* values = down.values + static_cast<size_t>(rank) * width;
  const uint16_t* scales = down.scales + static_cast<size_t>(rank) * blocks;
  float sum = 0;
  for (uint32_t i = lane; i < width; i += 32) {
    const float factor = __half2float(__ushort_as_half(__ldg(scales + i / 16))) * static_cast<float>(__ldg(values + i));
    sum = fmaf(factor, x[i], sum);
  }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
  return sum;
}

template <class Format>
__device__ __forceinline__ void rotate_inputs(const RotateParameters& p) {
  SHARED_DYNAMIC(float, x);
  const uint32_t token = blockIdx.x, share = blockIdx.y;
  load_inputs(p, p.x + static_cast<size_t>(token) * p.width, x);
  transform_blocks(x, p.width, p.block_log2);
  const Format format(Format::scaled ? largest_magnitude(x, p.width) : 0);
  // Into shared memory again as what the product will read, for A.
  typename Format::Value* out = static_cast<typename Format::Value*>(p.out) + static_cast<size_t>(token) * p.stride;
  for (uint32_t i = threadIdx.x; i < p.width; i += kRotateThreads) {
    typename Format::Value value;
    x[i] = format.store(x[i], &value);
    if (share == 0) out[i] = value;
  }
  // Products may take whole groups.
  for (uint32_t i = p.width + threadIdx.x; share == 0 && i < p.stride; i += kRotateThreads) out[i] = zero_value(out);
  if (share == 0 && threadIdx.x == 0 && p.token_scale != nullptr) p.token_scale[token] = format.scale();
  if (p.down.rank == 0) return;
  __syncthreads();
  const uint32_t warps = kRotateThreads / 32;
  for (uint32_t rank = share * warps + threadIdx.x / 32; rank < p.down.rank; rank += gridDim.y * warps) {
    const float dot = down_dot(p.down, rank, x, p.width);
    if (threadIdx.x % 32 == 0) p.down.projected[static_cast<size_t>(token) * p.down.rank + rank] = dot * format.scale();
  }
}

extern "C" __global__ void __launch_bounds__(kRotateThreads) rotate_inputs_f32(RotateParameters p) {
  rotate_inputs<FloatFormat>(p);
}
extern "C" __global__ void __launch_bounds__(kRotateThreads) rotate_inputs_f16(RotateParameters p) {
  rotate_inputs<HalfFormat>(p);
}
extern "C" __global__ void __launch_bounds__(kRotateThreads) rotate_inputs_i8(RotateParameters p) {
  rotate_inputs<Int8Format>(p);
}
extern "C" __global__ void __launch_bounds__(kRotateThreads) rotate_inputs_i8_f16(RotateParameters p) {
  rotate_inputs<Int8HalvesFormat>(p);
}

}  // namespace pyramidion::cuda
