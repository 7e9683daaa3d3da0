#include "core/calibrated/guided_encoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/calibrated/guided_band.h"
#include "core/error.h"
#include "core/linalg/cholesky.h"

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

std::vector<float> to_floats(const std::vector<double>& values, double factor = 1) {
  std::vector<float> floats(values.size());
  for (size_t i = 0; i < values.size(); ++i) floats[i] = static_cast<float>(values[i] * factor);
  return floats;
}

// With a mean diagonal of one.
std::vector<float> unit_metric(const std::vector<double>& metric, size_t d) {
  double mean = 0;
  for (size_t i = 0; i < d; ++i) mean += metric[i * d + i] / static_cast<double>(d);
  return to_floats(metric, 1 / mean);
}

// Floats from one row of a coupling matrix to the next: whole cache lines, an odd number of them, so that tiles of
// columns do not fall into the same few sets of a cache.
size_t coupling_stride(size_t columns) { return ((columns + 15) / 16 | 1) * 16; }

// Rows of a matrix that a thread fills at a time.
constexpr size_t rows_at_once = 32;

// Rows that are rounded at once: so many that a product reads the coupling matrix seldom, where there are enough for
// all threads; a vector's at least.
size_t rows_of_band(size_t rows, size_t lanes, size_t threads) {
  constexpr size_t most = 128;
  const size_t share = (rows + threads - 1) / threads;
  return std::max(lanes, std::min(most, (share + lanes - 1) / lanes * lanes));
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
  // Rounding is the same under any multiple of H; with a mean diagonal near one its floats neither overflow nor vanish,
  // and by a power of two nothing else changes.
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

  // The column of H at each place in rounding order; the columns that pad a group are tied to nothing.
  std::vector<size_t> source(columns_, given);
  size_t next = 0;
  for (const Group& group : groups_) {
    std::iota(&source[next], &source[next] + group.columns, group.first_column);
    next += layout.codes[group.segment].dimension;
  }
  factor(
      [=, &source](size_t i, size_t j) {
        const bool both = source[i] < given && source[j] < given;
        return (both ? factor_of_two * hessian[source[i] * given + source[j]] : 0) + (i == j ? ridge : 0);
      },
      pool);
}

// element(i, j): of H in rounding order, plus ridge.
template <class Element>
void GuidedPlan::factor(const Element& element, ThreadPool& pool) {
  const size_t n = columns_;
  // The lower factor L of H with rows and columns reversed gives the upper one: R = L reversed, H = R R'.
  AlignedBuffer<double> lower(n * n);
  pool.parallel_for(n, rows_at_once, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      for (size_t j = 0; j <= i; ++j) lower[i * n + j] = element(n - 1 - i, n - 1 - j);
    }
  });
  cholesky(lower.data(), n, pool);
  const auto upper = [&](size_t i, size_t j) { return lower[(n - 1 - i) * n + n - 1 - j]; };

  stride_ = coupling_stride(n);
  hessian_.emplace(n * stride_);
  factor_.emplace(n * stride_);
  std::vector<size_t> first_columns;
  size_t next = 0;
  for (const Group& group : groups_) {
    first_columns.push_back(next);
    next += layout_->codes[group.segment].dimension;
  }
  blocks_.resize(groups_.size());
  for (std::vector<GuidedGroup>* sweep : {&feedback_, &descent_, &before_, &own_}) sweep->resize(groups_.size());
  pool.parallel_for(groups_.size(), 1, [&](size_t begin, size_t end) {
    for (size_t g = begin; g < end; ++g) {
      const PvqCode& code = layout_->codes[groups_[g].segment];
      const size_t d = code.dimension, first = first_columns[g];
      float* hessian_rows = hessian_->data() + first * stride_;
      float* factor_rows = factor_->data() + first * stride_;
      for (size_t i = 0; i < d; ++i) {
        float *row_of_H = hessian_rows + i * stride_, *row_of_R = factor_rows + i * stride_;
        for (size_t j = 0; j < n; ++j) row_of_H[j] = static_cast<float>(element(first + i, j));
        for (size_t j = first; j < n; ++j) row_of_R[j] = static_cast<float>(upper(first + i, j));
      }
      for (size_t j = 0; j < first; ++j) {
        for (size_t i = 0; i < d; ++i) factor_rows[i * stride_ + j] = static_cast<float>(upper(j, first + i));
      }

      std::vector<double> r(d * d), h(d * d), rr(d * d, 0), transposed(d * d);
      for (size_t i = 0; i < d; ++i) {
        for (size_t j = 0; j < d; ++j) {
          r[i * d + j] = upper(first + i, first + j);
          h[i * d + j] = element(first + i, first + j);
        }
      }
      for (size_t i = 0; i < d; ++i) {
        for (size_t j = 0; j < d; ++j) {
          for (size_t k = std::max(i, j); k < d; ++k) rr[i * d + j] += r[i * d + k] * r[j * d + k];
          transposed[i * d + j] = r[j * d + i];
        }
      }
      Blocks& blocks = blocks_[g];
      blocks = {unit_metric(rr, d), to_floats(inverse_of(r, d)), unit_metric(h, d), to_floats(inverse_of(h, d)),
                to_floats(transposed)};
      const GuidedGroup group{
          code.pyramid(), code.levels.data(), code.levels.size(), nullptr, nullptr, nullptr, stride_, first, n - first};
      GuidedGroup& feedback = feedback_[g] = group;
      feedback.metric = blocks.feedback_metric.data();
      feedback.inverse = blocks.feedback_inverse.data();
      feedback.coupling = factor_rows + first;

      GuidedGroup& descent = descent_[g] = group;
      descent.metric = blocks.descent_metric.data();
      descent.inverse = blocks.descent_inverse.data();
      descent.coupling = hessian_rows;
      descent.first_coupled = 0;
      descent.coupled_columns = n;

      GuidedGroup& before = before_[g] = descent;
      before.coupling = factor_rows;
      before.coupled_columns = first;

      GuidedGroup& own = own_[g] = descent;
      own.first_coupled = first;
      own.coupling = blocks.own.data();
      own.coupling_stride = own.coupled_columns = d;
    }
  });
  independent_ = feedback_;
  for (GuidedGroup& group : independent_) group.coupled_columns = 0;
}

PvqRows GuidedPlan::encode(const float* values, size_t rows, ThreadPool& pool, const JobControl& control,
                           const GuidedSweeps& sweeps) const {
  const size_t columns = layout_->columns;
  check_row_values(values, rows, columns, pool);
  PvqRows result{std::vector<uint8_t>(rows * layout_->row_bytes), std::vector<uint16_t>(rows)};
  const size_t band_rows = rows_of_band(rows, sweeps.lanes(), pool.size());
  pool.parallel_for((rows + band_rows - 1) / band_rows, 1, [&](size_t begin, size_t end) {
    for (size_t b = begin; b < end; ++b) {
      control.check();
      const size_t first = b * band_rows, count = std::min(band_rows, rows - first);
      Band band(*this, sweeps, count);
      for (size_t row = 0; row < count; ++row) band.load(row, values + (first + row) * columns);
      band.round();
      for (size_t row = 0; row < count; ++row) {
        band.write(row, result.codes.data() + (first + row) * layout_->row_bytes, &result.row_scale[first + row]);
      }
      control.advance(static_cast<int32_t>(count));
    }
  });
  return result;
}

PvqRows GuidedPlan::encode(const float* values, size_t rows, const RowCoupling& coupling, ThreadPool& pool,
                           const JobControl& control, const GuidedSweeps& sweeps) const {
  check_row_values(values, rows, layout_->columns, pool);
  PvqRows result{std::vector<uint8_t>(rows * layout_->row_bytes), std::vector<uint16_t>(rows)};
  // In the order of rounding: w - q, and what the wave at hand adds to its targets.
  std::vector<float> errors(rows * columns_), shifts;
  for (size_t wave = 0; wave < coupling.waves(); ++wave) {
    control.check();
    const size_t first = coupling.first_of(wave), count = coupling.first_of(wave + 1) - first;
    shifts.resize(count * columns_);
    coupling.shifts(wave, errors.data(), columns_, shifts.data(), pool);
    const size_t band_rows = rows_of_band(count, sweeps.lanes(), pool.size());
    pool.parallel_for((count + band_rows - 1) / band_rows, 1, [&](size_t begin, size_t end) {
      for (size_t b = begin; b < end; ++b) {
        const size_t used = std::min(band_rows, count - b * band_rows);
        float* shift = shifts.data() + b * band_rows * columns_;
        Band band(*this, sweeps, used);
        for (size_t row = 0; row < used; ++row) {
          band.load(row, values + coupling.row_at(first + b * band_rows + row) * layout_->columns);
          band.shift_target(row, shift + row * columns_);
        }
        band.round();
        for (size_t row = 0; row < used; ++row) {
          const size_t place = first + b * band_rows + row, number = coupling.row_at(place);
          band.write(row, result.codes.data() + number * layout_->row_bytes, &result.row_scale[number]);
          float* error = errors.data() + place * columns_;
          band.read_difference(row, error);
          for (size_t i = 0; i < columns_; ++i) error[i] -= shift[row * columns_ + i];
        }
      }
    });
    control.advance(static_cast<int32_t>(count));
  }
  return result;
}

}  // namespace pyramidion
