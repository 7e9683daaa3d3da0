// The float kernels: products, transforms, exponentials and decoders of plain formats, one table of functions for each
// instruction set. All are single-threaded, allocate nothing, and accept any length and unaligned pointers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/instruction_set.h"

namespace pyramidion {

// Products of vectors, and of matrices (C = A B^T, in two steps), for T = float or double.
template <class T>
struct ProductKernels {
  // NR: rows of B in a panel.
  size_t panel;
  // b(j, k) = b[j * row_stride + k * column_stride], j < rows, k < depth, into ceil(rows / NR) panels of depth x NR.
  void (*pack)(const T* b, size_t row_stride, size_t column_stride, size_t rows, size_t depth, T* panels);
  // c(i, j) = factor * sum_k a(i, k) b(j, k), added to what c holds when `accumulate`; a and c are addressed like b.
  void (*multiply)(const T* a, size_t a_row_stride, size_t a_column_stride, size_t rows, const T* panels,
                   size_t columns, size_t depth, T factor, bool accumulate, T* c, size_t c_row_stride,
                   size_t c_column_stride);
  T (*dot)(const T* a, const T* b, size_t count);
  // y += factor * x
  void (*add_scaled)(T factor, const T* x, T* y, size_t count);
};

// Of `count` rows of `width` values that lie `stride` apart, T = float, uint16_t (f16) or int8_t, and some vectors one
// behind the other.
template <class T>
struct RowKernels {
  // out[v * count + r] = factor * <vector v, row r>; vectors of `width` values
  void (*dots)(const float* x, size_t vectors, const T* rows, size_t stride, size_t count, size_t width, float factor,
               float* out);
  // out[v * width + i] += sum_r weights[v * count + r] * row r [i]
  void (*add_weighted)(const float* weights, size_t vectors, const T* rows, size_t stride, size_t count, size_t width,
                       float* out);
  // The values as floats.
  void (*widen)(const T* x, size_t count, float* out);
};

using BlockDecoder = void (*)(const uint8_t* bytes, size_t count, float* out);

struct FloatKernels {
  ProductKernels<float> f32;
  ProductKernels<double> f64;

  RowKernels<float> f32_rows;
  RowKernels<uint16_t> f16_rows;
  RowKernels<int8_t> int8_rows;
  // To the nearest halves.
  void (*narrow_to_f16)(const float* x, size_t count, uint16_t* out);
  // round(x * inverse), which is at most 127 in magnitude.
  void (*narrow_to_int8)(const float* x, size_t count, float inverse, int8_t* out);
  // out[r] = factor * <x, row r> of rows of int8 one behind the other, 32 values with a scale, and x in 16 bits; width
  // is a multiple of 32.
  void (*row_dots_int8)(const int16_t* x, const int8_t* values, const float* scales, size_t count, size_t width,
                        float factor, float* out);

  void (*scale)(float factor, float* x, size_t count);
  // out = x * factors, value by value
  void (*multiply)(const float* x, const float* factors, float* out, size_t count);
  // count > 0
  float (*maximum)(const float* x, size_t count);
  // Walsh-Hadamard transform in place, not normalised; count is a power of two.
  void (*hadamard)(float* x, size_t count);
  // x = e^(x - shift); returns the sum.
  float (*exponentials)(float* x, size_t count, float shift);
  double (*sum_exponentials)(const float* x, size_t count, float shift);
  // KL(p || q) of p = e^(x - x_log_sum), q = e^(y - y_log_sum).
  double (*divergence)(const float* x, const float* y, size_t count, float x_log_sum, float y_log_sum);
  // out = silu(gate) * up; out may be either.
  void (*silu_multiply)(const float* gate, const float* up, float* out, size_t count);
  // gate and up become the gradients at themselves, given that at silu(gate) * up.
  void (*silu_multiply_backward)(float* gate, float* up, const float* gradient, size_t count);

  BlockDecoder decode_f32, decode_f16, decode_bf16, decode_q8_0, decode_q4_0, decode_q4_1, decode_q4_k, decode_q6_k;
  // int8 values with an f16 scale for each 16.
  void (*decode_int8)(const int8_t* values, const uint16_t* scales, size_t count, float* out);
  // Codes of 1 to 8 bits in a little-endian bit stream.
  void (*unpack_codes)(const uint8_t* bytes, size_t count, unsigned bits, float* out);
  // x = scale * (x - middle) + minimum
  void (*scale_codes)(float scale, float middle, float minimum, float* x, size_t count);
  // x = scale * x below `sign`, -scale * (x - sign) from it on
  void (*scale_signed_codes)(float scale, float sign, float* x, size_t count);

  // The largest |x|; NaN counts as 0.
  float (*largest_magnitude)(const float* x, size_t count);
  // x = unit * round(x * inverse), the multiple clamped to +-limit; NaN stays. |x * inverse| < 2^22.
  void (*round_to_multiples)(float unit, float inverse, float limit, float* x, size_t count);
};

// The table of the instruction set in use.
const FloatKernels& float_kernels();
// The best table that `set`, which the processor must support, covers; and the set it is compiled for.
const FloatKernels& float_kernels(InstructionSet set);
InstructionSet float_instruction_set(InstructionSet set = instruction_set());

}  // namespace pyramidion
