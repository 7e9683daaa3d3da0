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

// Floats from one row of a band to the next: whole cache lines, an odd number of them, so that tiles of columns do not
// fall into the same few sets of a cache.
size_t band_stride(size_t columns) { return ((columns + 15) / 16 | 1) * 16; }

float to_float(double value) { return static_cast<float>(value); }

// Rows of a matrix that a thread fills at a time.
constexpr size_t rows_at_once = 32;

// Rows that are rounded at once: so many that a product reads the coupling matrix seldom, where there are enough for
// all threads; a vector's at least.
size_t rows_of_band(size_t rows, size_t lanes, size_t threads) {
  constexpr size_t most = 192;
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

  // The column of H at each place in rounding order, and the places that pad groups, which are tied to nothing.
  std::vector<size_t> source, padding;
  for (const Group& group : groups_) {
    for (size_t i = 0; i < static_cast<size_t>(layout.codes[group.segment].dimension); ++i) {
      if (i >= group.columns) padding.push_back(source.size());
      source.push_back(i < group.columns ? group.first_column + i : 0);
    }
  }
  // A row of H in rounding order, plus ridge.
  const auto read_row = [=, &source, &padding](size_t i, double* row) {
    // A copy is read from one end to the other, which what picks columns is not.
    const std::vector<double> values(hessian + source[i] * given, hessian + (source[i] + 1) * given);
    const size_t *columns = source.data(), n = source.size();
    const bool padded = std::binary_search(padding.begin(), padding.end(), i);
    for (size_t j = 0; j < n; ++j) row[j] = padded ? 0 : factor_of_two * values[columns[j]];
    for (const size_t j : padding) row[j] = 0;
    row[i] += ridge;
  };
  factor(read_row, pool);
}

void GuidedPlan::factor(const std::function<void(size_t i, double* row)>& read_row, ThreadPool& pool) {
  const size_t n = columns_, panels = (n + coupling_panel - 1) / coupling_panel;
  stride_ = band_stride(n);
  if (options_.sweeps > 0) hessian_.emplace(panels * coupling_panel * n);
  factor_.emplace(panels * coupling_panel * n);
  const auto in_panels = [n](size_t i, size_t j) {
    return (j / coupling_panel * n + i) * coupling_panel + j % coupling_panel;
  };
  // The lower factor L of H with rows and columns reversed gives the upper one: R = L reversed, H = R R'.
  AlignedBuffer<double> lower(n * n);
  pool.parallel_for(n, rows_at_once, [&](size_t begin, size_t end) {
    std::vector<double> row(n);
    for (size_t i = begin; i < end; ++i) {
      read_row(i, row.data());
      std::reverse_copy(row.begin() + i, row.end(), &lower[(n - 1 - i) * n]);
      for (size_t j = 0; hessian_ && j < n; j += coupling_panel) {
        const size_t width = std::min(coupling_panel, n - j);
        std::transform(&row[j], &row[j] + width, &(*hessian_)[in_panels(i, j)], to_float);
      }
    }
  });
  cholesky(lower.data(), n, pool);
  const auto upper = [&lower, n](size_t i, size_t j) -> const double& { return lower[(n - 1 - i) * n + n - 1 - j]; };
  pool.parallel_for(panels, 1, [&](size_t panel, size_t) {
    const size_t first = panel * coupling_panel, last = std::min(n, first + coupling_panel);
    float* rows = &(*factor_)[in_panels(0, first)];
    for (size_t i = 0; i < last; ++i) {
      const double* row_of_R = &upper(i, first);
      for (size_t j = std::max(i, first); j < last; ++j) {
        rows[i * coupling_panel + j - first] = static_cast<float>(*(row_of_R - (j - first)));
      }
    }
    for (size_t j = first; j < last; ++j) {
      const double* row_of_R = &upper(j, 0);
      for (size_t i = j + 1; i < n; ++i) rows[i * coupling_panel + j - first] = static_cast<float>(*(row_of_R - i));
    }
  });

  size_t first = 0;
  blocks_.reserve(groups_.size());
  std::vector<double> row(n);
  for (const Group& group : groups_) {
    const PvqCode& code = layout_->codes[group.segment];
    const size_t d = code.dimension;
    std::vector<double> r(d * d), h(d * d), rr(d * d, 0);
    Blocks& blocks = blocks_.emplace_back();
    blocks.own.resize(d * coupling_panel);
    for (size_t i = 0; i < d; ++i) {
      read_row(first + i, row.data());
      for (size_t j = 0; j < d; ++j) {
        h[i * d + j] = row[first + j];
        r[i * d + j] = upper(first + i, first + j);
      }
    }
    for (size_t i = 0; i < d; ++i) {
      for (size_t j = 0; j < d; ++j) {
        for (size_t k = std::max(i, j); k < d; ++k) rr[i * d + j] += r[i * d + k] * r[j * d + k];
        // Groups have the whole block of R; R' has one of its own.
        (*factor_)[in_panels(first + i, first + j)] = static_cast<float>(r[i * d + j]);
        blocks.own[i * coupling_panel + (first + j) % coupling_panel] = static_cast<float>(r[j * d + i]);
      }
    }
    blocks.feedback_metric = unit_metric(rr, d);
    blocks.feedback_inverse = to_floats(inverse_of(r, d));
    blocks.descent_metric = unit_metric(h, d);
    blocks.descent_inverse = to_floats(inverse_of(h, d));

    const float *rows_of_H = hessian_ ? hessian_->data() + first * coupling_panel : nullptr,
                *rows_of_R = factor_->data() + first * coupling_panel;
    const size_t panel_stride = n * coupling_panel;
    feedback_.push_back({code.pyramid(), code.levels.data(), code.levels.size(), blocks.feedback_metric.data(),
                         blocks.feedback_inverse.data(), rows_of_R, panel_stride, first, n - first});
    descent_.push_back({code.pyramid(), code.levels.data(), code.levels.size(), blocks.descent_metric.data(),
                        blocks.descent_inverse.data(), rows_of_H, panel_stride, 0, n});
    before_.push_back(descent_.back());
    before_.back().coupling = rows_of_R;
    before_.back().coupled_columns = first;
    own_.push_back(descent_.back());
    own_.back().coupling = blocks.own.data();
    own_.back().panel_stride = 0;
    own_.back().first_coupled = first;
    own_.back().coupled_columns = d;
    first += d;
  }
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
