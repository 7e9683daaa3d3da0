#include "core/calibrated/row_coupling.h"

#include <algorithm>

#include "core/calibrated/output_weights.h"
#include "core/linalg/cholesky.h"
#include "core/linalg/product.h"

namespace pyramidion {
namespace {

// Rows of a wave: fixed, so that results depend neither on the instruction set nor on the number of threads; few enough that
// most rows see the errors of most others.
constexpr size_t smallest_wave = 32, usual_waves = 24;

size_t wave_rows(size_t rows) {
  const size_t wanted = (rows / usual_waves + smallest_wave - 1) / smallest_wave * smallest_wave;
  return std::max(smallest_wave, wanted);
}

}  // namespace

RowCoupling::RowCoupling(const double* hessian, size_t rows, double share, ThreadPool& pool)
    : rows_(rows), feedback_(rows * rows) {
  const std::vector<double> damped = damped_output_hessian(hessian, rows, share);
  const size_t waves = (rows + wave_rows(rows) - 1) / wave_rows(rows);
  for (size_t wave = 0; wave < waves; ++wave) {
    wave_first_.push_back(order_.size());
    for (size_t row = wave; row < rows; row += waves) order_.push_back(row);
  }
  wave_first_.push_back(rows);

  std::vector<double> g(rows * rows);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < rows; ++j) g[i * rows + j] = damped[order_[i] * rows + order_[j]];
  }
  // Reversed, the lower Cholesky factor gives R, upper triangular, G = R R'.
  std::reverse(g.begin(), g.end());
  cholesky(g.data(), rows, pool);
  std::reverse(g.begin(), g.end());
  for (size_t wave = 0; wave < waves; ++wave) {
    const size_t first = wave_first_[wave], last = wave_first_[wave + 1];
    // For a wave B with A before it:  d_B + R_BB'^-1 R_AB' d_A,  solved forwards row by row.
    std::vector<double> solved((last - first) * first);
    for (size_t i = first; i < last; ++i) {
      double* row = solved.data() + (i - first) * first;
      for (size_t a = 0; a < first; ++a) row[a] = g[a * rows + i];
      for (size_t k = first; k < i; ++k) {
        const double factor = g[k * rows + i];
        const double* before = solved.data() + (k - first) * first;
        for (size_t a = 0; a < first; ++a) row[a] -= factor * before[a];
      }
      for (size_t a = 0; a < first; ++a) row[a] /= g[i * rows + i];
      for (size_t a = 0; a < first; ++a) feedback_[i * rows + a] = static_cast<float>(row[a]);
    }
  }
}

void RowCoupling::shifts(size_t wave, const float* errors, size_t columns, float* shifts, ThreadPool& pool) const {
  const size_t first = wave_first_[wave], count = wave_first_[wave + 1] - first;
  if (first == 0) {
    std::fill_n(shifts, count * columns, 0.0f);
    return;
  }
  product<float>(MatrixView<const float>(feedback_.data() + first * rows_, count, first, rows_, 1),
                 MatrixView<const float>(errors, first, columns), 1.0f, false, MatrixView<float>(shifts, count, columns),
                 pool);
}

}  // namespace pyramidion
