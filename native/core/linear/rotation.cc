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

// Block i of a row becomes sum_k M(i, k) block k; with M transposed when inverse. Of a few rows at once, with the
// memory that takes.
class Rotation::Mixing {
 public:
  Mixing(const Rotation& rotation, size_t rows)
      : rotation_(rotation),
        panels_(rotation.matrix_.empty() ? 0 : padded(rows * rotation.block_) * rotation.order_),
        side_by_side_(rotation.matrix_.empty() ? 0 : rows * rotation.width()) {}

  void apply(float* x, size_t rows, bool inverse) {
    const ProductKernels<float>& product = float_kernels().f32;
    const size_t order = rotation_.order_, block = rotation_.block_, width = rows * block;
    for (size_t i = 0; i < order; ++i) {
      for (size_t r = 0; r < rows; ++r) {
        std::copy_n(x + r * rotation_.width() + i * block, block, side_by_side_.data() + i * width + r * block);
      }
    }
    product.pack(side_by_side_.data(), 1, width, width, order, panels_.data());
    product.multiply(rotation_.matrix_.data(), inverse ? 1 : order, inverse ? order : 1, order, panels_.data(), width,
                     order, 1.0f, false, side_by_side_.data(), width, 1);
    for (size_t i = 0; i < order; ++i) {
      for (size_t r = 0; r < rows; ++r) {
        std::copy_n(side_by_side_.data() + i * width + r * block, block, x + r * rotation_.width() + i * block);
      }
    }
  }

 private:
  // To whole panels.
  static size_t padded(size_t columns) {
    const size_t panel = float_kernels().f32.panel;
    return (columns + panel - 1) / panel * panel;
  }

  const Rotation& rotation_;
  AlignedBuffer<float> panels_, side_by_side_;
};

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
  // Blocks narrower than a panel fill it with those of other rows.
  const size_t together = matrix_.empty() ? 1 : std::max<size_t>(1, panel / block_);
  const size_t grain = std::max<size_t>(together, 16384 / width() / together * together);
  pool.parallel_for(rows, grain, [&](size_t first, size_t last) {
    Mixing mixing(*this, together);
    for (size_t row = first; row < last; row += together) {
      const size_t count = std::min(together, last - row);
      float* values = x + row * width();
      for (size_t i = 0; i < count && !inverse; ++i) {
        kernels.multiply(values + i * width(), scaled_signs_.data(), values + i * width(), width());
      }
      if (inverse && !matrix_.empty()) mixing.apply(values, count, inverse);
      for (size_t i = 0; i < count * order_; ++i) kernels.hadamard(values + i * block_, block_);
      if (!inverse && !matrix_.empty()) mixing.apply(values, count, inverse);
      for (size_t i = 0; i < count && inverse; ++i) {
        kernels.multiply(values + i * width(), scaled_signs_.data(), values + i * width(), width());
      }
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

}  // namespace pyramidion
