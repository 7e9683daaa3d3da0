// Rows of a matrix that calibrated rounding rounds together, on one thread.
#pragma once

#include "core/aligned_buffer.h"
#include "core/calibrated/guided_encoder.h"

namespace pyramidion {

class GuidedPlan::Band {
 public:
  // rows: what is to be loaded; they are padded to whole vectors.
  Band(const GuidedPlan& plan, const GuidedSweeps& sweeps, size_t rows);

  // The weights of a row.
  void load(size_t row, const float* values);
  // Moves a row's target away from its weights; shift: a value a column, in rounding order.
  void shift_target(size_t row, const float* shift);

  // Error feedback, the sweeps of coordinate descent, and row scales that suit the results.
  void round();

  // The target minus what it was rounded to, in the form of shift_target.
  void read_difference(size_t row, float* difference) const;
  // A row of zeros gets scale zero and codes of zero.
  void write(size_t row, uint8_t* bytes, uint16_t* row_scale);

 private:
  // Where a column of a row is in the arrays of GuidedRows that have rows in lanes.
  size_t place(size_t row, size_t column) const {
    return row / lanes_ * lanes_ * columns_ + column * lanes_ + row % lanes_;
  }
  GuidedRows rows(AlignedBuffer<float>& accumulators);
  void accumulate(const std::vector<GuidedGroup>& groups, const AlignedBuffer<float>& changes,
                  AlignedBuffer<float>& accumulators) const;
  void refit_after_feedback();
  void refit_after_descent();
  // Changes a scale by the share linear / square; returns the share that it changed by.
  float refit_scale(size_t row, double linear, double square);
  // By the relative change of each scale, what is left of targets.
  void change_scales(const std::vector<float>& changes);

  const GuidedPlan& plan_;
  const GuidedSweeps& sweeps_;
  size_t lanes_, columns_, stride_, count_;
  // As GuidedRows has them.
  AlignedBuffer<float> targets_, differences_;
  std::vector<float> scales_;
  std::vector<int16_t> points_;
  std::vector<uint16_t> levels_;
  // Row by row, stride_ apart: w, w R, d R and d H.
  AlignedBuffer<float> weights_, weights_R_, differences_R_, differences_H_;
  // w H w' of each row.
  std::vector<double> energies_;
  std::vector<bool> empty_;
  std::vector<float> row_;
  std::vector<std::vector<uint64_t>> codes_;
};

}  // namespace pyramidion
