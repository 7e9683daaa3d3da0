#include "cuda/kernels/guided_rounding.cu"

#include <doctest/doctest.h>

#include "../pvq/random.h"
#include "code_settings.h"
#include "core/matrix/half.h"
#include "cpu/guided_rounding/dispatch.h"
#include "device_array.h"

using namespace pyramidion;

namespace {

// Groups of one code, with metrics, inverses and couplings as random as rounding bears.
struct Problem {
  Problem(const CodeSetting& code, size_t group_count, Random& random)
      : setting(code), groups(group_count), columns(group_count * static_cast<size_t>(code.dimension)) {
    const size_t d = code.dimension;
    levels = some_levels(code.levels);
    factor = scaled(random.gaussians(columns * columns), 0.05f);
    hessian = scaled(random.gaussians(columns * columns), 0.05f);
    factor_panels = in_panels(factor);
    hessian_panels = in_panels(hessian);
    for (size_t g = 0; g < groups; ++g) {
      const std::vector<float> root = scaled(random.gaussians(d * d), 0.2f);
      for (size_t i = 0; i < d; ++i) {
        for (size_t j = 0; j < d; ++j) {
          float sum = i == j ? 0.7f : 0;
          for (size_t k = 0; k < d; ++k) sum += root[i * d + k] * root[j * d + k];
          metrics.push_back(sum);
          inverses.push_back((i == j ? 1 : 0) + 0.1f * random.gaussian());
        }
      }
    }
  }

  // With feedback, coupled to the columns from a group on, otherwise to all.
  std::vector<GuidedGroup> cpu_groups(bool feedback) const {
    std::vector<GuidedGroup> result;
    const size_t d = setting.dimension;
    for (size_t g = 0; g < groups; ++g) {
      const size_t first = g * d, coupled = feedback ? first : 0;
      const std::vector<float>& coupling = feedback ? factor_panels : hessian_panels;
      result.push_back({{setting.dimension, setting.pulses},
                        levels.data(),
                        levels.size(),
                        metrics.data() + g * d * d,
                        inverses.data() + g * d * d,
                        coupling.data() + first * coupling_panel,
                        columns * coupling_panel,
                        coupled,
                        columns - coupled});
    }
    return result;
  }

  static std::vector<float> scaled(std::vector<float> values, float by) {
    for (float& value : values) value *= by;
    return values;
  }

  // As the processor's kernels read a matrix.
  std::vector<float> in_panels(const std::vector<float>& matrix) const {
    std::vector<float> panels((columns + coupling_panel - 1) / coupling_panel * coupling_panel * columns);
    for (size_t i = 0; i < columns; ++i) {
      for (size_t j = 0; j < columns; ++j) {
        panels[(j / coupling_panel * columns + i) * coupling_panel + j % coupling_panel] = matrix[i * columns + j];
      }
    }
    return panels;
  }

  CodeSetting setting;
  size_t groups, columns;
  std::vector<float> levels, factor, hessian, factor_panels, hessian_panels, metrics, inverses;
};

// What rounding leaves: columns x rows, and rows.
struct State {
  std::vector<float> differences, accumulators, scales;
  // Accumulators behind the sweep of feedback: d R.
  std::vector<float> feedback;
  std::vector<int16_t> points;
  std::vector<uint16_t> levels;
};

// Feedback, the accumulators of coordinate descent, a sweep of it: with the CPU's portable kernel, rows in its lanes.
State round_on_cpu(const Problem& problem, const std::vector<float>& targets, const std::vector<float>& scales,
                   size_t rows) {
  const GuidedKernel& kernel = guided_kernel(InstructionSet::portable);
  const size_t columns = problem.columns, lanes = kernel.lanes;
  State all{std::vector<float>(columns * rows),
            std::vector<float>(columns * rows),
            scales,
            std::vector<float>(columns * rows),
            std::vector<int16_t>(columns * rows),
            std::vector<uint16_t>(problem.groups * rows)};
  const std::vector<GuidedGroup> feedback = problem.cpu_groups(true), descent = problem.cpu_groups(false);
  for (size_t first = 0; first < rows; first += lanes) {
    std::vector<float> w(columns * lanes), d(columns * lanes), a(columns * lanes), s(lanes, 1.0f);
    std::vector<int16_t> points(columns * lanes);
    std::vector<uint16_t> levels(problem.groups * lanes);
    const size_t used = std::min(lanes, rows - first);
    for (size_t lane = 0; lane < used; ++lane) {
      s[lane] = scales[first + lane];
      for (size_t c = 0; c < columns; ++c) w[c * lanes + lane] = targets[c * rows + first + lane];
    }
    const GuidedRows state{lanes,    columns,  columns,       w.data(),     d.data(),
                           a.data(), s.data(), points.data(), levels.data()};
    kernel.sweep(feedback.data(), problem.groups, 8, true, state);
    std::vector<float> by_row(columns * lanes);
    for (size_t i = 0; i < by_row.size(); ++i) by_row[i] = d[i % columns * lanes + i / columns];
    for (size_t lane = 0; lane < used; ++lane) {
      for (size_t c = 0; c < columns; ++c) all.feedback[c * rows + first + lane] = a[lane * columns + c];
    }
    std::fill(a.begin(), a.end(), 0.0f);
    kernel.accumulate(descent.data(), problem.groups, by_row.data(), lanes, columns, columns, a.data());
    kernel.sweep(descent.data(), problem.groups, 8, false, state);
    for (size_t lane = 0; lane < used; ++lane) {
      for (size_t c = 0; c < columns; ++c) {
        all.differences[c * rows + first + lane] = d[c * lanes + lane];
        all.accumulators[c * rows + first + lane] = a[lane * columns + c];
        all.points[c * rows + first + lane] = points[c * lanes + lane];
      }
      for (size_t g = 0; g < problem.groups; ++g) all.levels[g * rows + first + lane] = levels[g * lanes + lane];
    }
  }
  return all;
}

// The same with the kernels, `block` groups at a time.
class DeviceRounding {
 public:
  DeviceRounding(const Problem& problem, const std::vector<float>& targets, const std::vector<float>& scales,
                 size_t rows)
      : problem_(problem),
        rows_(rows),
        targets_(targets),
        differences_(std::vector<float>(problem.columns * rows)),
        accumulators_(std::vector<float>(problem.columns * rows)),
        changes_(problem.columns * rows),
        scales_(scales),
        points_(problem.columns * rows),
        level_indices_(problem.groups * rows),
        levels_(problem.levels),
        factor_(problem.factor),
        hessian_(problem.hessian),
        metrics_(problem.metrics),
        inverses_(problem.inverses),
        groups_(device_groups()) {}

  void sweep(bool feedback, size_t block) {
    const auto d = static_cast<uint32_t>(problem_.setting.dimension);
    const auto columns = static_cast<uint32_t>(problem_.columns), rows = static_cast<uint32_t>(rows_);
    for (size_t first = 0; first < problem_.groups; first += block) {
      const auto first_group = static_cast<uint32_t>(first);
      const auto last_group = static_cast<uint32_t>(std::min(problem_.groups, first + block));
      const uint32_t first_column = first_group * d, last_column = last_group * d;
      const float* coupling = feedback ? factor_.data() : hessian_.data();
      run(d == 8 ? cuda::guided_round_d8 : cuda::guided_round_d16, cuda::guided_round_shape(rows),
          cuda::GuidedRoundParameters{groups_.data(), rows_on_device(), coupling, changes_.data(), columns, first_group,
                                      last_group, first_column, last_column, 8, feedback, !feedback});
      const uint32_t skip_first = feedback ? 0 : first_column;
      const uint32_t skip_count = feedback ? last_column : last_column - first_column;
      if (skip_count < columns) {
        couple(changes_.data(), coupling, first_column, last_column - first_column, skip_first, skip_count);
      }
    }
  }

  void accumulate_differences() {
    feedback_ = accumulators_.values();
    std::fill_n(accumulators_.data(), problem_.columns * rows_, 0.0f);
    couple(differences_.data(), hessian_.data(), 0, static_cast<uint32_t>(problem_.columns), 0, 0);
  }

  State state() const {
    return {differences_.values(), accumulators_.values(), scales_.values(), feedback_,
            points_.values(),      level_indices_.values()};
  }

 private:
  template <class Parameters>
  static void run(void (*kernel)(Parameters), const cuda::Shape& shape, const Parameters& parameters) {
    simt::run(kernel, dim3(shape.grid_x, shape.grid_y), dim3(shape.threads), shape.dynamic_shared, parameters);
  }

  void couple(const float* changes, const float* coupling, uint32_t first, uint32_t count, uint32_t skip_first,
              uint32_t skip_count) {
    const auto columns = static_cast<uint32_t>(problem_.columns), rows = static_cast<uint32_t>(rows_);
    run(cuda::guided_couple, cuda::guided_couple_shape(rows, columns - skip_count),
        cuda::GuidedCoupleParameters{changes, coupling, accumulators_.data(), rows, columns, first, count, skip_first,
                                     skip_count});
  }

  std::vector<cuda::GuidedGroup> device_groups() {
    std::vector<cuda::GuidedGroup> groups;
    const size_t d = problem_.setting.dimension;
    for (size_t g = 0; g < problem_.groups; ++g) {
      groups.push_back({static_cast<uint32_t>(g * d), static_cast<uint32_t>(problem_.setting.pulses),
                        static_cast<uint32_t>(problem_.levels.size()), levels_.data(), metrics_.data() + g * d * d,
                        inverses_.data() + g * d * d});
    }
    return groups;
  }

  cuda::GuidedRows rows_on_device() {
    return {targets_.data(), differences_.data(),   accumulators_.data(),        scales_.data(),
            points_.data(),  level_indices_.data(), static_cast<uint32_t>(rows_)};
  }

  const Problem& problem_;
  size_t rows_;
  std::vector<float> feedback_;
  DeviceArray<float> targets_, differences_, accumulators_, changes_, scales_;
  DeviceArray<int16_t> points_;
  DeviceArray<uint16_t> level_indices_;
  DeviceArray<float> levels_, factor_, hessian_, metrics_, inverses_;
  DeviceArray<cuda::GuidedGroup> groups_;
};

std::vector<float> random_scales(size_t rows, Random& random) {
  std::vector<float> scales;
  for (size_t row = 0; row < rows; ++row) {
    scales.push_back(half_to_float(float_to_half(static_cast<float>(0.5 + random.uniform()))));
  }
  return scales;
}

}  // namespace

TEST_CASE("cuda guided_rounding: points, levels and sums of the CPU's kernels, bit for bit, whatever the blocks") {
  const uint64_t seed = 71;
  INFO("seed ", seed);
  Random random(seed);
  for (const CodeSetting& setting : cases<CodeSetting>({{8, 12, 7}, {8, 1, 1}, {8, 40, 9}, {16, 11, 3}, {16, 24, 7}})) {
    // Few groups a block and many, and each by itself.
    for (size_t block :
         setting.dimension == 8 && setting.pulses == 12 ? cases<size_t>({3, 1, 16}) : std::vector<size_t>{3}) {
      const size_t groups = 1 + random.below(7), rows = 1 + random.below(70);
      INFO("D ", setting.dimension, " K ", setting.pulses, " L ", setting.levels, " groups ", groups, " rows ", rows,
           " block ", block);
      const Problem problem(setting, groups, random);
      const std::vector<float> targets = random.gaussians(problem.columns * rows), scales = random_scales(rows, random);
      const State expected = round_on_cpu(problem, targets, scales, rows);
      DeviceRounding rounding(problem, targets, scales, rows);
      rounding.sweep(true, block);
      rounding.accumulate_differences();
      rounding.sweep(false, block);
      const State found = rounding.state();
      CHECK(found.points == expected.points);
      CHECK(found.levels == expected.levels);
      CHECK(found.differences == expected.differences);
      CHECK(found.accumulators == expected.accumulators);
      CHECK(found.feedback == expected.feedback);
    }
  }
}
