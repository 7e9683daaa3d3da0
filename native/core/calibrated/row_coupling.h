// What the errors of other rows add to the target of a row, when the error of a matrix D = W - Q is weighed on both sides,
// tr(G D H D'), as output_weights.h says. With G = R R', R upper triangular, it is
//
//   sum_i R_ii^2 || d_i + sum_{j<i} (R_ji / R_ii) d_j ||_H^2,
//
// so row after row is rounded under H alone, towards w_i + sum_{j<i} (R_ji / R_ii) d_j: error feedback from row to row.
#pragma once

#include <cstddef>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// Rows are rounded in waves: the rows of a wave at once, so that they fill vectors and threads. Waves take rows far from each
// other, which tend to depend little on each other.
class RowCoupling {
 public:
  // hessian, share: as of damped_output_hessian. Throws NOT_FINITE.
  RowCoupling(const double* hessian, size_t rows, double share, ThreadPool& pool);

  size_t waves() const { return wave_first_.size() - 1; }
  // The rows of a wave are first_of(wave) .. first_of(wave + 1) - 1 in the order of rounding.
  size_t first_of(size_t wave) const { return wave_first_[wave]; }
  // The matrix row at a place in the order of rounding.
  size_t row_at(size_t place) const { return order_[place]; }

  // Shifts of the wave's targets (rows of the wave x columns) from the errors of the rows before it (in the order of rounding,
  // columns values each).
  void shifts(size_t wave, const float* errors, size_t columns, float* shifts, ThreadPool& pool) const;

 private:
  size_t rows_;
  std::vector<size_t> order_, wave_first_;
  // rows x rows in the order of rounding; of each row only what the waves before it contribute.
  std::vector<float> feedback_;
};

}  // namespace pyramidion
