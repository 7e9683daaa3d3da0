#include "core/calibrated/guided_encoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/linalg/cholesky.h"
#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"

namespace pyramidion {
namespace {

// The inverse of a D x D matrix by Gauss-Jordan elimination without pivoting: for the positive definite and triangular
// blocks used here.
std::vector<double> inverse_of(std::vector<double> matrix, size_t d) {
  std::vector<double> inverse(d * d, 0);
  for (size_t i = 0; i < d; ++i) inverse[i * d + i] = 1;
  for (size_t c = 0; c < d; ++c) {
    const double pivot = 1 / matrix[c * d + c];
    for (size_t j = 0; j < d; ++j) {
      matrix[c * d + j] *= pivot;
      inverse[c * d + j] *= pivot;
    }
    for (size_t i = 0; i < d; ++i) {
      if (i == c) continue;
      const double share = matrix[i * d + c];
      for (size_t j = 0; j < d; ++j) {
        matrix[i * d + j] -= share * matrix[c * d + j];
        inverse[i * d + j] -= share * inverse[c * d + j];
      }
    }
  }
  return inverse;
}

std::vector<float> to_floats(const std::vector<double>& values, double factor) {
  std::vector<float> floats(values.size());
  for (size_t i = 0; i < values.size(); ++i) floats[i] = static_cast<float>(values[i] * factor);
  return floats;
}

std::vector<double> diagonal_block(const std::vector<double>& matrix, size_t columns, size_t first, size_t d) {
  std::vector<double> block(d * d);
  for (size_t i = 0; i < d; ++i) std::copy_n(&matrix[(first + i) * columns + first], d, &block[i * d]);
  return block;
}

}  // namespace

GuidedPlan::GuidedPlan(const double* hessian, std::shared_ptr<const PvqLayout> shared_layout,
                       const GuidedOptions& options, ThreadPool& pool)
    : layout_(std::move(shared_layout)), options_(options) {
  const PvqLayout& layout = *layout_;
  const size_t given = layout.columns;
  double mean = 0;
  for (size_t i = 0; i < given; ++i) mean += hessian[i * given + i] / static_cast<double>(given);
  if (!std::isfinite(mean) || mean < 0) throw Error("NOT_FINITE", "hessian must be finite with a positive diagonal");
  // Rounding is the same under any multiple of H; with a mean diagonal near one its floats neither overflow nor vanish, and
  // by a power of two nothing else changes.
  const double factor_of_two = mean > 0 ? std::exp2(-std::floor(std::log2(mean))) : 1;
  // Inputs that are always zero make every rounding equally good.
  const double ridge = mean > 0 ? options.ridge * mean * factor_of_two : 1;

  size_t column = 0;
  for (size_t s = 0; s < layout.codes.size(); ++s) {
    const size_t d = layout.codes[s].dimension, end = column + layout.codes[s].columns;
    for (size_t number = 0; column < end; ++number) {
      const size_t columns = std::min(d, end - column);
      groups_.push_back({s, number, column, columns});
      columns_ += d;
      column += columns;
    }
  }
  const auto weight = [&](const Group& group) {
    double sum = 0;
    for (size_t i = group.first_column; i < group.first_column + group.columns; ++i) sum += hessian[i * given + i];
    return sum / static_cast<double>(group.columns);
  };
  if (options.ordered) {
    std::stable_sort(groups_.begin(), groups_.end(),
                     [&](const Group& a, const Group& b) { return weight(a) > weight(b); });
  }

  // H in rounding order, plus ridge; the columns that pad a group are tied to nothing.
  std::vector<size_t> source(columns_, given);
  size_t next = 0;
  for (const Group& group : groups_) {
    std::iota(&source[next], &source[next] + group.columns, group.first_column);
    next += layout.codes[group.segment].dimension;
  }
  std::vector<double> ordered(columns_ * columns_, 0);
  for (size_t i = 0; i < columns_; ++i) {
    for (size_t j = 0; source[i] < given && j < columns_; ++j) {
      if (source[j] < given) ordered[i * columns_ + j] = factor_of_two * hessian[source[i] * given + source[j]];
    }
    ordered[i * columns_ + i] += ridge;
  }
  factor(ordered, pool);
}

void GuidedPlan::factor(const std::vector<double>& hessian, ThreadPool& pool) {
  const size_t n = columns_;
  // The lower factor L of H with rows and columns reversed gives the upper one: R = L reversed, H = R R'.
  std::vector<double> upper(hessian.rbegin(), hessian.rend());
  cholesky(upper.data(), n, pool);
  std::reverse(upper.begin(), upper.end());

  hessian_ = to_floats(hessian, 1);
  factor_ = to_floats(upper, 1);
  size_t first = 0;
  for (const Group& group : groups_) {
    const PvqCode& code = layout_->codes[group.segment];
    const size_t d = code.dimension;
    const auto add = [&](std::vector<GuidedGroup>& sweep, const std::vector<double>& metric,
                         const std::vector<double>& inverse, const float* coupling, size_t first_coupled,
                         size_t coupled) {
      double mean = 0;
      for (size_t i = 0; i < d; ++i) mean += metric[i * d + i] / static_cast<double>(d);
      blocks_.push_back(to_floats(metric, 1 / mean));
      const float* metric_data = blocks_.back().data();
      blocks_.push_back(to_floats(inverse, 1));
      sweep.push_back({code.pyramid(), code.levels.data(), code.levels.size(), metric_data,
                       blocks_.back().data(), coupling, n, first_coupled, coupled});
    };
    const std::vector<double> r = diagonal_block(upper, n, first, d), h = diagonal_block(hessian, n, first, d);
    std::vector<double> rr(d * d, 0);
    for (size_t i = 0; i < d; ++i) {
      for (size_t j = 0; j < d; ++j) {
        for (size_t k = std::max(i, j); k < d; ++k) rr[i * d + j] += r[i * d + k] * r[j * d + k];
      }
    }
    add(feedback_, rr, inverse_of(r, d), factor_.data() + first * n + first + d, first + d,
        options_.feedback ? n - first - d : 0);
    add(descent_, h, inverse_of(h, d), hessian_.data() + first * n, 0, n);
    first += d;
  }
}

// The rows of one vector's lanes.
class GuidedPlan::Block {
 public:
  Block(const GuidedPlan& plan, const GuidedKernel& kernel)
      : plan_(plan),
        kernel_(kernel),
        lanes_(kernel.lanes),
        targets_(plan.columns_ * lanes_),
        differences_(plan.columns_ * lanes_),
        accumulators_(plan.columns_ * lanes_),
        products_(plan.columns_ * lanes_),
        scales_(lanes_, 1.0f),
        points_(plan.columns_ * lanes_),
        levels_(plan.groups_.size() * lanes_),
        empty_(lanes_, true) {}

  // The weights of a lane; lanes that are given none stay empty.
  void load(size_t lane, const float* values) {
    // A copy, because JavaScript may write to the original meanwhile; what is checked here is what is encoded.
    row_.assign(values, values + plan_.layout_->columns);
    const double norm = root_mean_square(row_.data(), row_.size());
    if (!(norm <= largest_row_scale)) throw Error("INVALID_ARGUMENT", "values must not change while they are encoded");
    const float scale = half_to_float(float_to_half(static_cast<float>(norm)));
    empty_[lane] = !(scale > 0);
    scales_[lane] = empty_[lane] ? 1 : scale;
    float* target = targets_.data() + lane;
    for (const Group& group : plan_.groups_) {
      const size_t d = plan_.layout_->codes[group.segment].dimension;
      const float* from = row_.data() + group.first_column;
      for (size_t i = 0; i < group.columns; ++i) target[i * lanes_] = empty_[lane] ? 0 : from[i];
      // As the plain encoder pads: with what gives the group the usual gain.
      for (size_t i = group.columns; i < d; ++i) target[i * lanes_] = row_.size() >= d && !empty_[lane] ? scale : 0;
      target += d * lanes_;
    }
  }

  // Moves a lane's target away from its weights; shift: a value a column, in rounding order.
  void shift_target(size_t lane, const float* shift) {
    if (empty_[lane]) return;
    for (size_t i = 0; i < plan_.columns_; ++i) targets_[i * lanes_ + lane] += shift[i];
  }

  // The target minus what it was rounded to, in the form of shift_target.
  void read_difference(size_t lane, float* difference) const {
    for (size_t i = 0; i < plan_.columns_; ++i) difference[i] = empty_[lane] ? 0 : differences_[i * lanes_ + lane];
  }

  void round_with_feedback() {
    kernel_.sweep(plan_.feedback_.data(), plan_.groups_.size(), plan_.options_.moves, true, rows());
  }

  // Sweeps of coordinate descent, and the row scales that suit their results.
  void descend(int sweeps) {
    const size_t groups = plan_.groups_.size();
    std::fill(products_.begin(), products_.end(), 0.0f);
    kernel_.accumulate(plan_.descent_.data(), groups, targets_.data(), products_.data());
    std::fill(accumulators_.begin(), accumulators_.end(), 0.0f);
    kernel_.accumulate(plan_.descent_.data(), groups, differences_.data(), accumulators_.data());
    for (int sweep = 0; sweep < sweeps; ++sweep) {
      refit_scales();
      kernel_.sweep(plan_.descent_.data(), groups, plan_.options_.moves, false, rows());
    }
    refit_scales();
  }

  // The scale of least error for the points and levels at hand. With q = s v, d = w - s v, r = H d kept in the accumulators
  // and H w in the products:  s' = s + v'r / v'Hv,  s Hv = Hw - r.
  void refit_scales() {
    for (size_t lane = 0; lane < lanes_; ++lane) {
      if (empty_[lane]) continue;
      double linear = 0, square = 0;
      for (size_t i = lane; i < targets_.size(); i += lanes_) {
        const double q = static_cast<double>(targets_[i]) - differences_[i];
        linear += q * accumulators_[i];
        square += q * (static_cast<double>(products_[i]) - accumulators_[i]);
      }
      if (!(square > 0)) continue;
      const float scale = half_to_float(float_to_half(static_cast<float>(scales_[lane] * (1 + linear / square))));
      if (!(scale > 0) || !std::isfinite(scale)) continue;
      const float change = scale / scales_[lane] - 1;
      for (size_t i = lane; i < targets_.size(); i += lanes_) {
        differences_[i] -= change * (targets_[i] - differences_[i]);
        accumulators_[i] -= change * (products_[i] - accumulators_[i]);
      }
      scales_[lane] = scale;
    }
  }

  // A row of zeros gets scale zero and codes of zero.
  void write(size_t lane, uint8_t* bytes, uint16_t* row_scale) {
    *row_scale = empty_[lane] ? 0 : float_to_half(scales_[lane]);
    const PvqLayout& layout = *plan_.layout_;
    codes_.resize(layout.codes.size());
    for (size_t s = 0; s < codes_.size(); ++s) codes_[s].assign(layout.codes[s].groups, 0);
    const int16_t* points = points_.data() + lane;
    for (size_t g = 0; !empty_[lane] && g < plan_.groups_.size(); ++g) {
      const Group& group = plan_.groups_[g];
      const PvqCode& code = layout.codes[group.segment];
      int16_t point[PyramidCounts::max_dimension];
      for (int i = 0; i < code.dimension; ++i) point[i] = points[i * lanes_];
      points += code.dimension * lanes_;
      codes_[group.segment][group.number] =
          levels_[g * lanes_ + lane] * code.count() + code.points->index_of(point);
    }
    for (size_t s = 0; s < codes_.size(); ++s) {
      pack_codes(codes_[s].data(), codes_[s].size(), layout.codes[s].bits, bytes);
      bytes += layout.codes[s].bytes;
    }
  }

 private:
  GuidedRows rows() {
    return {targets_.data(), differences_.data(), accumulators_.data(), scales_.data(), points_.data(), levels_.data()};
  }

  const GuidedPlan& plan_;
  const GuidedKernel& kernel_;
  size_t lanes_;
  // As GuidedRows has them; products_ is H w.
  std::vector<float> targets_, differences_, accumulators_, products_, scales_;
  std::vector<float> row_;
  std::vector<int16_t> points_;
  std::vector<uint16_t> levels_;
  std::vector<bool> empty_;
  std::vector<std::vector<uint64_t>> codes_;
};

PvqRows GuidedPlan::encode(const float* values, size_t rows, ThreadPool& pool, const JobControl& control,
                           const GuidedKernel& kernel) const {
  const size_t columns = layout_->columns;
  check_row_values(values, rows, columns, pool);
  PvqRows result{std::vector<uint8_t>(rows * layout_->row_bytes), std::vector<uint16_t>(rows)};
  const size_t blocks = (rows + kernel.lanes - 1) / kernel.lanes;
  pool.parallel_for(blocks, 1, [&](size_t begin, size_t end) {
    for (size_t b = begin; b < end; ++b) {
      control.check();
      const size_t first = b * kernel.lanes, count = std::min(kernel.lanes, rows - first);
      Block block(*this, kernel);
      for (size_t lane = 0; lane < count; ++lane) block.load(lane, values + (first + lane) * columns);
      block.round_with_feedback();
      block.descend(options_.sweeps);
      for (size_t lane = 0; lane < count; ++lane) {
        block.write(lane, result.codes.data() + (first + lane) * layout_->row_bytes, &result.row_scale[first + lane]);
      }
      control.advance(static_cast<int32_t>(count));
    }
  });
  return result;
}

PvqRows GuidedPlan::encode(const float* values, size_t rows, const RowCoupling& coupling, ThreadPool& pool,
                           const JobControl& control, const GuidedKernel& kernel) const {
  const size_t lanes = kernel.lanes;
  check_row_values(values, rows, layout_->columns, pool);
  PvqRows result{std::vector<uint8_t>(rows * layout_->row_bytes), std::vector<uint16_t>(rows)};
  // In the order of rounding: w - q, and what the wave at hand adds to its targets.
  std::vector<float> errors(rows * columns_), shifts;
  for (size_t wave = 0; wave < coupling.waves(); ++wave) {
    control.check();
    const size_t first = coupling.first_of(wave), count = coupling.first_of(wave + 1) - first;
    shifts.resize(count * columns_);
    coupling.shifts(wave, errors.data(), columns_, shifts.data(), pool);
    pool.parallel_for((count + lanes - 1) / lanes, 1, [&](size_t begin, size_t end) {
      for (size_t b = begin; b < end; ++b) {
        Block block(*this, kernel);
        const size_t used = std::min(lanes, count - b * lanes);
        for (size_t lane = 0; lane < used; ++lane) {
          block.load(lane, values + coupling.row_at(first + b * lanes + lane) * layout_->columns);
          block.shift_target(lane, shifts.data() + (b * lanes + lane) * columns_);
        }
        block.round_with_feedback();
        block.descend(options_.sweeps);
        for (size_t lane = 0; lane < used; ++lane) {
          const size_t place = first + b * lanes + lane, row = coupling.row_at(place);
          block.write(lane, result.codes.data() + row * layout_->row_bytes, &result.row_scale[row]);
          float* error = errors.data() + place * columns_;
          block.read_difference(lane, error);
          const float* shift = shifts.data() + (b * lanes + lane) * columns_;
          for (size_t i = 0; i < columns_; ++i) error[i] -= shift[i];
        }
      }
    });
    control.advance(static_cast<int32_t>(count));
  }
  return result;
}

}  // namespace pyramidion
