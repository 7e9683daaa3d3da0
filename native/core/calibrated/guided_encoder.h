// Values to PVQ rows that are close to them where the layer's inputs look: rounding calibrated by the layer's Hessian
// H = E[x x'], so that the expected error of the outputs, (w - q)' H (w - q) a row, is small.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/calibrated/guided_sweeps.h"
#include "core/calibrated/row_coupling.h"
#include "core/parallel/job_control.h"
#include "core/parallel/thread_pool.h"
#include "core/pvq/pvq_code.h"
#include "core/pvq/row_encoder.h"

namespace pyramidion {

struct GuidedOptions {
  // Added to H's diagonal, as a share of its mean: guards directions the calibration text hardly showed.
  double ridge = 0.01;
  // Pulse moves a group and sweep, at most.
  int moves = 8;
  // Sweeps of coordinate descent after the sweep of error feedback.
  int sweeps = 4;
  // Whether a group makes up for the errors of those before it; without, only the sweeps of coordinate descent do.
  bool feedback = true;
  // Whether groups are rounded by decreasing diagonal of H; without, in the order of the columns.
  bool ordered = true;
};

// What rounding under one Hessian needs, shared by all rows, and by all matrices with the same inputs and layout.
class GuidedPlan {
 public:
  // hessian: columns x columns, symmetric, positive semidefinite. Groups are rounded in the order of decreasing
  // diagonal, unless options say otherwise. Throws INVALID_ARGUMENT when H plus ridge is not positive definite.
  GuidedPlan(const double* hessian, std::shared_ptr<const PvqLayout> layout, const GuidedOptions& options,
             ThreadPool& pool);

  // values: rows x columns. Rows are independent; the result does not depend on the number of threads, nor on who
  // sweeps. Throws what encode_rows throws for values it cannot code, and what the sweeps throw.
  PvqRows encode(const float* values, size_t rows, ThreadPool& pool, const JobControl& control,
                 const GuidedSweeps& sweeps = KernelSweeps(guided_kernel())) const;
  // The same with the rows' errors weighed together, by tr(G D H D').
  PvqRows encode(const float* values, size_t rows, const RowCoupling& coupling, ThreadPool& pool,
                 const JobControl& control, const GuidedSweeps& sweeps = KernelSweeps(guided_kernel())) const;

 private:
  struct Group {
    size_t segment, number, first_column, columns;
  };
  class Band;

  // D x D each; own: the block of R' that couples a group to itself, in a panel that stands for all.
  struct Blocks {
    std::vector<float> feedback_metric, feedback_inverse, descent_metric, descent_inverse, own;
  };

  // read_row: a row of H in rounding order.
  void factor(const std::function<void(size_t i, double* row)>& read_row, ThreadPool& pool);

  std::shared_ptr<const PvqLayout> layout_;
  GuidedOptions options_;
  // In rounding order; columns are padded to whole groups.
  std::vector<Group> groups_;
  size_t columns_ = 0;
  // Floats from one row of a band to the next.
  size_t stride_ = 0;
  // In rounding order and panels of columns: H, where sweeps need it, and its upper factor R, H = R R', with R' in the
  // place of the zeros left of groups.
  std::optional<AlignedBuffer<float>> hessian_, factor_;
  std::vector<Blocks> blocks_;
  // Groups coupled by R, to themselves too, so that a sweep of feedback leaves d R; the same, coupled to nothing;
  // coupled by H; by R' to the columns before them, and to themselves.
  std::vector<GuidedGroup> feedback_, independent_, descent_, before_, own_;
};

}  // namespace pyramidion
