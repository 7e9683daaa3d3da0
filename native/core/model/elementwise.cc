#include "core/model/elementwise.h"

#include <algorithm>
#include <cmath>

#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Values worth handing to another thread.
constexpr size_t kGrain = 32768;

size_t row_grain(size_t width) { return std::max<size_t>(1, kGrain / std::max<size_t>(width, 1)); }

}  // namespace

void rms_norm(const float* x, const float* weight, size_t width, float epsilon, size_t rows, float* out,
              ThreadPool& pool) {
  const FloatKernels& kernels = float_kernels();
  pool.parallel_for(rows, row_grain(width), [&](size_t first, size_t last) {
    for (size_t row = first; row < last; ++row) {
      const float* values = x + row * width;
      const float mean = kernels.f32.dot(values, values, width) / static_cast<float>(width);
      kernels.multiply(values, weight, out + row * width, width);
      // The factor last: out may be x, and its square is needed no more.
      kernels.scale(1 / std::sqrt(mean + epsilon), out + row * width, width);
    }
  });
}

void rotary(float* x, size_t tokens, size_t heads, size_t half, const float* cosine, const float* sine,
            ThreadPool& pool) {
  pool.parallel_for(tokens, row_grain(2 * half * heads), [&](size_t first, size_t last) {
    for (size_t token = first; token < last; ++token) {
      const float* __restrict c = cosine + token * half;
      const float* __restrict s = sine + token * half;
      for (size_t head = 0; head < heads; ++head) {
        // Halves of a head and the tables do not overlap, which is what vectors need to know.
        float* __restrict a = x + (token * heads + head) * 2 * half;
        float* __restrict b = a + half;
        for (size_t i = 0; i < half; ++i) {
          const float left = a[i] * c[i] - b[i] * s[i], right = b[i] * c[i] + a[i] * s[i];
          a[i] = left;
          b[i] = right;
        }
      }
    }
  });
}

void silu_multiply(const float* gate, const float* up, float* out, size_t count, ThreadPool& pool) {
  pool.parallel_for(count, kGrain, [&](size_t first, size_t last) {
    float_kernels().silu_multiply(gate + first, up + first, out + first, last - first);
  });
}

void row_squared_norms(const float* x, size_t width, size_t rows, float* out, ThreadPool& pool) {
  pool.parallel_for(rows, row_grain(width), [&](size_t first, size_t last) {
    for (size_t row = first; row < last; ++row) {
      const float* values = x + row * width;
      out[row] = float_kernels().f32.dot(values, values, width);
    }
  });
}

void add_in_place(float* x, const float* y, size_t count, ThreadPool& pool) {
  pool.parallel_for(count, kGrain, [&](size_t first, size_t last) {
    float_kernels().f32.add_scaled(1.0f, y + first, x + first, last - first);
  });
}

}  // namespace pyramidion
