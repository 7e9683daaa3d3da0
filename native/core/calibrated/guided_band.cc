#include "core/calibrated/guided_band.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"

namespace pyramidion {
namespace {

// Columns that are moved at once between rows and lanes.
constexpr size_t line = 16, strip = 64;

// Sums of several lanes, which need not wait for each other; added up in order.
class LaneSum {
 public:
  static constexpr size_t lanes = 8;
  double& operator[](size_t lane) { return sums_[lane % lanes]; }
  double total() const {
    double total = 0;
    for (double sum : sums_) total += sum;
    return total;
  }

 private:
  double sums_[lanes] = {};
};

}  // namespace

GuidedPlan::Band::Band(const GuidedPlan& plan, const GuidedSweeps& sweeps, size_t rows)
    : plan_(plan),
      sweeps_(sweeps),
      lanes_(sweeps.lanes()),
      columns_(plan.columns_),
      stride_(plan.stride_),
      count_((rows + lanes_ - 1) / lanes_ * lanes_),
      targets_(count_ * columns_),
      differences_(count_ * columns_),
      scales_(count_, 1.0f),
      points_(count_ * columns_),
      levels_(count_ * plan.groups_.size()),
      weights_(count_ * stride_),
      weights_R_(count_ * stride_),
      differences_R_(count_ * stride_),
      differences_H_(count_ * stride_),
      energies_(count_),
      empty_(count_, true) {
  std::fill_n(weights_.data(), count_ * stride_, 0.0f);
  std::fill_n(differences_.data(), count_ * columns_, 0.0f);
}

void GuidedPlan::Band::load(size_t row, const float* values) {
  // A copy, because JavaScript may write to the original meanwhile; what is checked here is what is encoded.
  row_.assign(values, values + plan_.layout_->columns);
  const double norm = root_mean_square(row_.data(), row_.size());
  if (!(norm <= largest_row_scale)) throw Error("INVALID_ARGUMENT", "values must not change while they are encoded");
  const float scale = half_to_float(float_to_half(static_cast<float>(norm)));
  empty_[row] = !(scale > 0);
  if (empty_[row]) return;
  scales_[row] = scale;
  float* weights = weights_.data() + row * stride_;
  for (const Group& group : plan_.groups_) {
    const size_t d = plan_.layout_->codes[group.segment].dimension;
    weights = std::copy_n(row_.data() + group.first_column, group.columns, weights);
    // As the plain encoder pads: with what gives the group the usual gain.
    weights = std::fill_n(weights, d - group.columns, row_.size() >= d ? scale : 0);
  }
}

void GuidedPlan::Band::shift_target(size_t row, const float* shift) {
  if (empty_[row]) return;
  for (size_t i = 0; i < columns_; ++i) weights_[row * stride_ + i] += shift[i];
}

void GuidedPlan::Band::round() {
  // A cache line of each row at a time.
  for (size_t first = 0; first < columns_; first += line) {
    const size_t last = std::min(columns_, first + line);
    for (size_t row = 0; row < count_; ++row) {
      const float* weights = weights_.data() + row * stride_;
      float* targets = targets_.data() + place(row, 0);
      for (size_t i = first; i < last; ++i) targets[i * lanes_] = weights[i];
    }
  }
  const GuidedOptions& options = plan_.options_;
  std::fill_n(differences_R_.data(), count_ * stride_, 0.0f);
  sweeps_.sweep(options.feedback ? plan_.feedback_ : plan_.independent_, options.moves, true, rows(differences_R_));
  if (!options.feedback) {
    for (size_t row = 0; row < count_; ++row) read_difference(row, differences_H_.data() + row * stride_);
    accumulate(plan_.feedback_, differences_H_, differences_R_);
  }
  refit_after_feedback();
  if (options.sweeps == 0) return;
  // d H = (d R) R'
  std::fill_n(differences_H_.data(), count_ * stride_, 0.0f);
  accumulate(plan_.before_, differences_R_, differences_H_);
  accumulate(plan_.own_, differences_R_, differences_H_);
  for (int sweep = 0; sweep < options.sweeps; ++sweep) {
    sweeps_.sweep(plan_.descent_, options.moves, false, rows(differences_H_));
  }
  refit_after_descent();
}

GuidedRows GuidedPlan::Band::rows(AlignedBuffer<float>& accumulators) {
  return {count_,         columns_,       stride_,       targets_.data(), differences_.data(), accumulators.data(),
          scales_.data(), points_.data(), levels_.data()};
}

void GuidedPlan::Band::accumulate(const std::vector<GuidedGroup>& groups, const AlignedBuffer<float>& changes,
                                  AlignedBuffer<float>& accumulators) const {
  sweeps_.accumulate(groups, changes.data(), count_, columns_, stride_, accumulators.data());
}

// The scale of least error for the points and levels at hand: with q = s v, d = w - q, it is  s (1 + q H d' / q H q').
float GuidedPlan::Band::refit_scale(size_t row, double linear, double square) {
  if (empty_[row] || !(square > 0)) return 0;
  const float scale = half_to_float(float_to_half(static_cast<float>(scales_[row] * (1 + linear / square))));
  if (!(scale > 0) || !std::isfinite(scale)) return 0;
  const float change = scale / scales_[row] - 1;
  scales_[row] = scale;
  return change;
}

// With H = R R', q H d' = (q R)(d R)'.
void GuidedPlan::Band::refit_after_feedback() {
  std::fill_n(weights_R_.data(), count_ * stride_, 0.0f);
  accumulate(plan_.feedback_, weights_, weights_R_);
  std::vector<float> changes(count_);
  for (size_t row = 0; row < count_; ++row) {
    const float* weights = weights_R_.data() + row * stride_;
    float* differences = differences_R_.data() + row * stride_;
    LaneSum linear, square, energy;
    for (size_t i = 0; i < columns_; ++i) {
      const double w = weights[i], d = differences[i], q = w - d;
      linear[i] += q * d;
      square[i] += q * q;
      energy[i] += w * w;
    }
    energies_[row] = energy.total();
    changes[row] = refit_scale(row, linear.total(), square.total());
    for (size_t i = 0; i < columns_; ++i) differences[i] -= changes[row] * (weights[i] - differences[i]);
  }
  change_scales(changes);
}

// With w H w' known, q H q' = w H w' - 2 w H d' + d H d'.
void GuidedPlan::Band::refit_after_descent() {
  std::vector<double> weights(count_), differences(count_);
  for (size_t first = 0; first < columns_; first += strip) {
    const size_t last = std::min(columns_, first + strip);
    for (size_t row = 0; row < count_; ++row) {
      double w = 0, d = 0;
      for (size_t i = first; i < last; ++i) {
        const double product = differences_H_[row * stride_ + i];
        w += product * weights_[row * stride_ + i];
        d += product * differences_[place(row, i)];
      }
      weights[row] += w;
      differences[row] += d;
    }
  }
  std::vector<float> changes(count_);
  for (size_t row = 0; row < count_; ++row) {
    const double linear = weights[row] - differences[row];
    changes[row] = refit_scale(row, linear, energies_[row] - weights[row] - linear);
  }
  change_scales(changes);
}

// d' = d - c q = d - c (w - d) for a scale that changed by the share c.
void GuidedPlan::Band::change_scales(const std::vector<float>& changes) {
  for (size_t row = 0; row < count_; row += lanes_) {
    for (size_t column = 0; column < columns_; ++column) {
      const size_t first = place(row, column);
      for (size_t lane = 0; lane < lanes_; ++lane) {
        float& difference = differences_[first + lane];
        difference -= changes[row + lane] * (targets_[first + lane] - difference);
      }
    }
  }
}

void GuidedPlan::Band::read_difference(size_t row, float* difference) const {
  for (size_t i = 0; i < columns_; ++i) difference[i] = empty_[row] ? 0 : differences_[place(row, i)];
}

void GuidedPlan::Band::write(size_t row, uint8_t* bytes, uint16_t* row_scale) {
  *row_scale = empty_[row] ? 0 : float_to_half(scales_[row]);
  const PvqLayout& layout = *plan_.layout_;
  codes_.resize(layout.codes.size());
  for (size_t s = 0; s < codes_.size(); ++s) codes_[s].assign(layout.codes[s].groups, 0);
  const int16_t* points = points_.data() + place(row, 0);
  const uint16_t* levels = levels_.data() + row / lanes_ * lanes_ * plan_.groups_.size() + row % lanes_;
  for (size_t g = 0; !empty_[row] && g < plan_.groups_.size(); ++g) {
    const Group& group = plan_.groups_[g];
    const PvqCode& code = layout.codes[group.segment];
    int16_t point[PyramidCounts::max_dimension];
    for (int i = 0; i < code.dimension; ++i) point[i] = points[i * lanes_];
    points += code.dimension * lanes_;
    codes_[group.segment][group.number] = levels[g * lanes_] * code.count() + code.points->index_of(point);
  }
  for (size_t s = 0; s < codes_.size(); ++s) {
    pack_codes(codes_[s].data(), codes_[s].size(), layout.codes[s].bits, bytes);
    bytes += layout.codes[s].bytes;
  }
}

}  // namespace pyramidion
