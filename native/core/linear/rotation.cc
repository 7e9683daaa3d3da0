#include "core/linear/rotation.h"

#include <algorithm>
#include <cmath>

#include "core/aligned_buffer.h"
#include "core/linalg/symmetric.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Rows of moments converted at a time.
constexpr size_t kMomentRows = 32;

}  // namespace

Rotation::Rotation(const std::vector<int8_t>& signs, unsigned sylvester_log2, std::vector<float> matrix)
    : block_(size_t{1} << sylvester_log2),
      order_(signs.size() >> sylvester_log2),
      matrix_(std::move(matrix)),
      scaled_signs_(signs.size()) {
  const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(block_)));
  for (size_t i = 0; i < signs.size(); ++i) scaled_signs_[i] = signs[i] < 0 ? -scale : scale;
}

void Rotation::apply(float* x, size_t rows, bool inverse, ThreadPool& pool) const {
  const FloatKernels& kernels = float_kernels();
  const size_t panel = kernels.f32.panel;
  const size_t panels_size = matrix_.empty() ? 0 : (block_ + panel - 1) / panel * panel * order_;
  const size_t grain = std::max<size_t>(1, 16384 / width());
  pool.parallel_for(rows, grain, [&](size_t first, size_t last) {
    AlignedBuffer<float> panels(panels_size), mixed(width());
    for (size_t row = first; row < last; ++row) {
      float* values = x + row * width();
      if (!inverse) kernels.multiply(values, scaled_signs_.data(), values, width());
      if (inverse && !matrix_.empty()) mix(values, inverse, panels.data(), mixed.data());
      for (size_t i = 0; i < order_; ++i) kernels.hadamard(values + i * block_, block_);
      if (!inverse && !matrix_.empty()) mix(values, inverse, panels.data(), mixed.data());
      if (inverse) kernels.multiply(values, scaled_signs_.data(), values, width());
    }
  });
}

void Rotation::turn_moments(double* moments, ThreadPool& pool) const {
  const size_t n = width();
  AlignedBuffer<float> turned(n * n), transposed(n * n);
  pool.parallel_for(n, kMomentRows, [&](size_t begin, size_t end) {
    std::copy(moments + begin * n, moments + end * n, turned.data() + begin * n);
  });
  apply(turned.data(), n, false, pool);
  for_lower_squares(n, pool, [&](size_t i, size_t j) {
    transposed[i * n + j] = turned[j * n + i];
    transposed[j * n + i] = turned[i * n + j];
  });
  apply(transposed.data(), n, false, pool);
  for_lower_squares(n, pool, [&](size_t i, size_t j) {
    moments[i * n + j] = (static_cast<double>(transposed[i * n + j]) + static_cast<double>(transposed[j * n + i])) / 2;
    moments[j * n + i] = moments[i * n + j];
  });
}

// Block i becomes sum_k M(i, k) block k; with M transposed when inverse.
void Rotation::mix(float* x, bool inverse, float* panels, float* mixed) const {
  const ProductKernels<float>& product = float_kernels().f32;
  const size_t row_stride = inverse ? 1 : order_, column_stride = inverse ? order_ : 1;
  product.pack(x, 1, block_, block_, order_, panels);
  product.multiply(matrix_.data(), row_stride, column_stride, order_, panels, block_, order_, 1.0f, false, mixed,
                   block_, 1);
  std::copy_n(mixed, width(), x);
}

}  // namespace pyramidion
