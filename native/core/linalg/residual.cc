#include "core/linalg/residual.h"

#include <algorithm>
#include <vector>

#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Values whose squares are summed in single precision.
constexpr size_t kPart = 2048;

}  // namespace

ResidualSquares subtract(float* values, const float* approximation, size_t count, ThreadPool& pool) {
  const auto& kernels = float_kernels().f32;
  const size_t parts = (count + kPart - 1) / kPart;
  std::vector<ResidualSquares> squares(parts);
  pool.parallel_for(parts, 16, [&](size_t begin, size_t end) {
    for (size_t part = begin; part < end; ++part) {
      float* own = values + part * kPart;
      const size_t length = std::min(kPart, count - part * kPart);
      squares[part].before = static_cast<double>(kernels.dot(own, own, length));
      kernels.add_scaled(-1, approximation + part * kPart, own, length);
      squares[part].after = static_cast<double>(kernels.dot(own, own, length));
    }
  });
  ResidualSquares sums;
  for (const ResidualSquares& part : squares) {
    sums.before += part.before;
    sums.after += part.after;
  }
  return sums;
}

}  // namespace pyramidion
