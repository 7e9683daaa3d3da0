#include "core/model/elementwise_backward.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Values worth handing to another thread.
constexpr size_t kGrain = 16384;

}  // namespace

void rms_norm_backward(const float* x, const float* weight, size_t width, float epsilon, size_t rows,
                       const float* gradient, float* out, ThreadPool& pool) {
  const FloatKernels& kernels = float_kernels();
  pool.parallel_for(rows, std::max<size_t>(1, kGrain / width), [&](size_t first, size_t last) {
    for (size_t row = first; row < last; ++row) {
      const float* values = x + row * width;
      float* result = out + row * width;
      const float mean = kernels.f32.dot(values, values, width) / static_cast<float>(width);
      const float factor = 1 / std::sqrt(mean + epsilon);
      kernels.multiply(gradient + row * width, weight, result, width);
      const float projection = kernels.f32.dot(result, values, width) / static_cast<float>(width);
      kernels.f32.add_scaled(-factor * factor * projection, values, result, width);
      kernels.scale(factor, result, width);
    }
  });
}

void rms_norm_weight_gradient(const float* x, size_t width, float epsilon, size_t rows, const float* gradient,
                              double* out, ThreadPool& pool) {
  std::vector<double> factors(rows);
  pool.parallel_for(rows, std::max<size_t>(1, kGrain / width), [&](size_t first, size_t last) {
    for (size_t row = first; row < last; ++row) {
      const float* values = x + row * width;
      const float mean = float_kernels().f32.dot(values, values, width) / static_cast<float>(width);
      factors[row] = 1 / std::sqrt(static_cast<double>(mean) + epsilon);
    }
  });
  pool.parallel_for(width, std::max<size_t>(1, kGrain / std::max<size_t>(rows, 1)), [&](size_t first, size_t last) {
    for (size_t row = 0; row < rows; ++row) {
      for (size_t i = row * width + first; i < row * width + last; ++i) {
        out[i - row * width] += static_cast<double>(gradient[i]) * x[i] * factors[row];
      }
    }
  });
}

void silu_multiply_backward(float* gate, float* up, const float* gradient, size_t count, ThreadPool& pool) {
  pool.parallel_for(count, kGrain, [&](size_t first, size_t last) {
    float_kernels().silu_multiply_backward(gate + first, up + first, gradient + first, last - first);
  });
}

}  // namespace pyramidion
