#include "core/calibrated/guided_encoder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "../pvq/random.h"
#include "core/pvq/gain_levels.h"
#include "core/pvq/pvq_matrix.h"
#include "core/pvq/pyramid_search.h"
#include "cpu/pvq_search/dispatch.h"

using namespace pyramidion;

namespace {

struct Case {
  size_t rows, columns;
  std::vector<PvqSegment> segments;
};

PvqSegment segment(size_t columns, const Pyramid& pyramid, size_t levels, size_t row_length) {
  const ProjectionLaw law(pyramid, row_length, pvq_search_kernel().search);
  return {columns, pyramid.dimension, pyramid.pulses, law.levels(levels), pyramid.lattice};
}

PvqSegment segment(size_t columns, int dimension, int pulses, size_t levels, size_t row_length) {
  return segment(columns, {dimension, pulses}, levels, row_length);
}

constexpr Pyramid barnes_wall(int pulses) { return {16, pulses, Lattice::barnes_wall}; }

// E[x x'] of inputs that live mostly in a few directions; rank < columns leaves some out altogether.
std::vector<double> correlated_hessian(size_t columns, size_t rank, Random& random) {
  std::vector<double> directions(columns * rank), hessian(columns * columns, 0);
  for (size_t i = 0; i < columns; ++i) {
    for (size_t k = 0; k < rank; ++k) {
      directions[i * rank + k] =
          random.gaussian() * std::exp(-4.0 * static_cast<double>(k) / static_cast<double>(rank));
    }
  }
  for (size_t i = 0; i < columns; ++i) {
    for (size_t j = 0; j < columns; ++j) {
      for (size_t k = 0; k < rank; ++k) hessian[i * columns + j] += directions[i * rank + k] * directions[j * rank + k];
    }
  }
  return hessian;
}

std::vector<float> decode(const PvqLayout& layout, const PvqRows& encoded, size_t rows) {
  std::vector<float> decoded(rows * layout.columns);
  PvqMatrix(rows, layout, encoded.codes.data(), encoded.row_scale.data())
      .decode_rows(0, rows, decoded.data(), layout.columns);
  return decoded;
}

// sum over rows of (w - q)' H (w - q)
double output_error(const std::vector<float>& values, const std::vector<float>& decoded,
                    const std::vector<double>& hessian, size_t columns) {
  double error = 0;
  for (size_t row = 0; row < values.size(); row += columns) {
    for (size_t i = 0; i < columns; ++i) {
      double sum = 0;
      for (size_t j = 0; j < columns; ++j) sum += hessian[i * columns + j] * (values[row + j] - decoded[row + j]);
      error += sum * (values[row + i] - decoded[row + i]);
    }
  }
  return error;
}

struct Setup {
  PyramidCache cache;
  ThreadPool pool{2};
  std::shared_ptr<const PvqLayout> layout;
  std::vector<double> hessian;
  std::vector<float> values;
  size_t rows;

  Setup(const Case& c, size_t rank, Random& random)
      : layout(std::make_shared<const PvqLayout>(c.columns, c.segments, cache)),
        hessian(correlated_hessian(c.columns, rank, random)),
        values(random.gaussians(c.rows * c.columns)),
        rows(c.rows) {}

  PvqRows guided(const GuidedOptions& options) {
    return GuidedPlan(hessian.data(), layout, options, pool).encode(values.data(), rows, pool, JobControl());
  }
  double error(const PvqRows& encoded) {
    return output_error(values, decode(*layout, encoded, rows), hessian, layout->columns);
  }
  double plain_error() {
    return error(encode_rows(values.data(), rows, *layout, pvq_search_kernel().find, pool, JobControl()));
  }
};

}  // namespace

TEST_CASE("calibrated rounding lowers the error of the outputs, and each step lowers it further") {
  const uint64_t seed = 71;
  INFO("seed ", seed);
  Random random(seed);
  for (const Case& c : {Case{33, 256, {segment(256, 16, 24, 7, 256)}}, Case{17, 96, {segment(96, 8, 12, 7, 96)}},
                        Case{33, 256, {segment(256, barnes_wall(40), 8, 256)}},
                        Case{9, 128, {segment(128, 32, 21, 4, 128)}}, Case{40, 64, {segment(64, 4, 7, 4, 64)}}}) {
    INFO("columns ", c.columns, " D ", c.segments[0].dimension);
    Setup setup(c, c.columns, random);
    const double plain = setup.plain_error();
    const double feedback = setup.error(setup.guided({0.01, 0, 0}));
    const double moves = setup.error(setup.guided({0.01, 8, 0}));
    const double swept = setup.error(setup.guided({0.01, 8, 4}));
    CHECK(feedback < 0.7 * plain);
    CHECK(moves < feedback);
    CHECK(swept < 0.97 * moves);
    GuidedOptions independent{0.01, 8, 0};
    independent.feedback = false;
    CHECK(setup.error(setup.guided(independent)) > 1.2 * moves);
  }
}

TEST_CASE("error feedback agrees with a plain double-precision version of it") {
  const uint64_t seed = 72;
  INFO("seed ", seed);
  Random random(seed);
  const size_t columns = 24, rows = 50, d = 4;
  const int pulses = 7;
  Setup setup({rows, columns, {segment(columns, d, pulses, 4, columns)}}, columns, random);
  // A falling diagonal, so that groups are rounded in the order of their columns.
  for (size_t i = 0; i < columns; ++i) {
    for (size_t j = 0; j < columns; ++j) {
      setup.hessian[i * columns + j] *= std::exp(-0.2 * static_cast<double>(i / d + j / d));
    }
  }
  double mean = 0;
  for (size_t i = 0; i < columns; ++i) mean += setup.hessian[i * columns + i] / static_cast<double>(columns);
  std::vector<double> h = setup.hessian;
  for (size_t i = 0; i < columns; ++i) h[i * columns + i] += 0.01 * mean;
  for (size_t g = 1; g < columns / d; ++g) {
    double before = 0, here = 0;
    for (size_t i = 0; i < d; ++i) {
      before += h[((g - 1) * d + i) * (columns + 1)];
      here += h[(g * d + i) * (columns + 1)];
    }
    REQUIRE(here < before);
  }

  const PvqRows encoded = setup.guided({0.01, 0, 0});
  GuidedOptions as_given{0.01, 0, 0};
  as_given.ordered = false;
  CHECK(setup.guided(as_given).codes == encoded.codes);
  const std::vector<float> decoded = decode(*setup.layout, encoded, rows);

  // The reference: group g aims at what minimises the error over group g and all later columns, were those free:
  // t_g = w_g + (d_before H_before,rest) (H_rest,rest)^-1, its first D entries, solved by elimination.
  const std::vector<float>& levels = setup.layout->codes[0].levels;
  const PvqCode& code = setup.layout->codes[0];
  size_t same = 0, groups = 0;
  for (size_t row = 0; row < rows; ++row) {
    const float* w = &setup.values[row * columns];
    double norm = 0;
    for (size_t i = 0; i < columns; ++i) norm += static_cast<double>(w[i]) * w[i];
    const double scale = std::sqrt(norm / static_cast<double>(columns));
    std::vector<double> difference(columns, 0);
    bool followed = true;
    for (size_t first = 0; first < columns && followed; first += d) {
      const size_t rest = columns - first;
      std::vector<double> a(rest * rest), b(rest, 0);
      for (size_t i = 0; i < rest; ++i) {
        for (size_t j = 0; j < rest; ++j) a[i * rest + j] = h[(first + i) * columns + first + j];
        for (size_t k = 0; k < first; ++k) b[i] += difference[k] * h[k * columns + first + i];
      }
      const std::vector<double> system = a;
      for (size_t p = 0; p < rest; ++p) {
        for (size_t i = p + 1; i < rest; ++i) {
          const double share = a[i * rest + p] / a[p * rest + p];
          for (size_t j = p; j < rest; ++j) a[i * rest + j] -= share * a[p * rest + j];
          b[i] -= share * b[p];
        }
      }
      for (size_t p = rest; p-- > 0;) {
        for (size_t j = p + 1; j < rest; ++j) b[p] -= a[p * rest + j] * b[j];
        b[p] /= a[p * rest + p];
      }
      // The Euclidean search on the target; the level by the group's conditional Hessian, from the inverse of `system`.
      float target[4];
      for (size_t i = 0; i < d; ++i) target[i] = static_cast<float>(w[first + i] + b[i]);
      int16_t point[4];
      search_points(target, 1, {static_cast<int>(d), pulses}, point);
      std::vector<double> metric(d * d);
      {
        // Schur complement of the later columns: what is left of H_gg when they are free.
        std::vector<double> s = system;
        for (size_t p = rest; p-- > d;) {
          for (size_t i = 0; i < p; ++i) {
            const double share = s[i * rest + p] / s[p * rest + p];
            for (size_t j = 0; j < p; ++j) s[i * rest + j] -= share * s[p * rest + j];
          }
        }
        for (size_t i = 0; i < d; ++i) std::copy_n(&s[i * rest], d, &metric[i * d]);
      }
      double tp = 0, pp = 0, n = 0;
      for (size_t i = 0; i < d; ++i) {
        n += point[i] * point[i];
        for (size_t j = 0; j < d; ++j) {
          tp += target[i] * metric[i * d + j] * point[j];
          pp += point[i] * metric[i * d + j] * point[j];
        }
      }
      size_t level = 0;
      for (size_t l = 1; l < levels.size(); ++l) {
        const double gain = tp / pp * std::sqrt(n) / scale;
        if (std::abs(levels[l] - gain) < std::abs(levels[level] - gain)) level = l;
      }
      // The encoder's own choice, from its codes; where rounding made it differ the row is left.
      uint64_t found = 0;
      const size_t bit = first / d * static_cast<size_t>(code.bits);
      for (int i = 0; i < code.bits; ++i) {
        const uint8_t byte = encoded.codes[row * setup.layout->row_bytes + (bit + i) / 8];
        found |= static_cast<uint64_t>(byte >> ((bit + i) % 8) & 1) << i;
      }
      ++groups;
      followed = found == level * code.count() + code.points->index_of(point);
      same += followed;
      for (size_t i = 0; i < d; ++i) {
        difference[first + i] = w[first + i] - levels[level] * scale * point[i] / std::sqrt(n);
      }
    }
  }
  CHECK(groups > rows * 5);
  CHECK(static_cast<double>(same) / static_cast<double>(groups) > 0.99);
}

TEST_CASE("with nothing known of the inputs calibrated rounding is as good as plain rounding") {
  const uint64_t seed = 73;
  INFO("seed ", seed);
  Random random(seed);
  Setup setup({40, 256, {segment(256, 16, 24, 7, 256)}}, 1, random);
  std::fill(setup.hessian.begin(), setup.hessian.end(), 0.0);
  for (size_t i = 0; i < 256; ++i) setup.hessian[i * 257] = 3;
  CHECK(setup.error(setup.guided({0.01, 8, 2})) == doctest::Approx(setup.plain_error()).epsilon(0.01));
}

TEST_CASE("every instruction set and any number of threads round alike, whatever the shape") {
  const uint64_t seed = 74;
  INFO("seed ", seed);
  Random random(seed);
  for (const Case& c : {Case{1, 1, {segment(1, 2, 3, 2, 1)}}, Case{3, 7, {segment(7, 4, 7, 4, 7)}},
                        Case{5, 31, {segment(31, 8, 12, 7, 31)}},
                        Case{21, 100, {segment(64, 16, 29, 7, 100), segment(36, 8, 9, 3, 100)}},
                        Case{18, 96, {segment(96, 32, 21, 4, 96)}},
                        Case{21, 100, {segment(64, barnes_wall(42), 7, 100), segment(36, 8, 12, 7, 100)}},
                        Case{5, 30, {segment(30, barnes_wall(20), 2, 30)}}, Case{2, 9, {segment(9, 16, 11, 3, 9)}}}) {
    INFO("rows ", c.rows, " columns ", c.columns);
    Setup setup(c, c.columns, random);
    const GuidedPlan plan(setup.hessian.data(), setup.layout, {0.01, 6, 2}, setup.pool);
    ThreadPool alone(1);
    const PvqRows reference = plan.encode(setup.values.data(), c.rows, alone, JobControl(),
                                          KernelSweeps(guided_kernel(InstructionSet::portable)));
    CHECK(first_invalid_row(*setup.layout, reference.codes.data(), c.rows) == -1);
    for (const GuidedKernel& kernel : guided_kernels()) {
      if (kernel.instruction_set > supported_instruction_set()) continue;
      INFO("instruction set ", name_of(kernel.instruction_set));
      for (size_t threads : {1, 3}) {
        ThreadPool pool(threads);
        const PvqRows encoded = plan.encode(setup.values.data(), c.rows, pool, JobControl(), KernelSweeps(kernel));
        CHECK(encoded.codes == reference.codes);
        CHECK(encoded.row_scale == reference.row_scale);
      }
    }
  }
}

TEST_CASE("rows of zeros, and inputs that are always zero, are no trouble") {
  const uint64_t seed = 75;
  INFO("seed ", seed);
  Random random(seed);
  Setup setup({5, 48, {segment(48, 16, 24, 7, 48)}}, 3, random);
  std::fill_n(&setup.values[48], 48, 0.0f);
  for (size_t i = 0; i < 48; ++i) setup.hessian[i] = setup.hessian[i * 48] = 0;
  const PvqRows encoded = setup.guided({0.01, 8, 2});
  CHECK(encoded.row_scale[1] == 0);
  CHECK(encoded.row_scale[0] != 0);
  CHECK(setup.error(encoded) < setup.plain_error());

  std::fill(setup.hessian.begin(), setup.hessian.end(), 0.0);
  const std::vector<float> decoded = decode(*setup.layout, setup.guided({0.01, 8, 2}), 5);
  for (float value : decoded) CHECK(std::isfinite(value));
}

TEST_CASE("calibrated rounding stops when asked to and counts its rows") {
  Random random(76);
  Setup setup({40, 64, {segment(64, 16, 24, 7, 64)}}, 64, random);
  const GuidedPlan plan(setup.hessian.data(), setup.layout, {}, setup.pool);
  int32_t words[2] = {0, 0};
  plan.encode(setup.values.data(), 40, setup.pool, JobControl(words));
  CHECK(words[1] == 40);
  words[0] = 1;
  CHECK_THROWS_WITH_AS(plan.encode(setup.values.data(), 40, setup.pool, JobControl(words)), doctest::Contains("abort"),
                       Error);
}

TEST_CASE("values that no row scale reaches are refused, and a Hessian of any size serves") {
  const uint64_t seed = 77;
  INFO("seed ", seed);
  Random random(seed);
  Setup setup({6, 64, {segment(64, 16, 24, 7, 64)}}, 64, random);
  const PvqRows reference = setup.guided({});
  const std::vector<double> hessian = setup.hessian;
  for (double factor : {0x1p-900, 0x1p-200, 0x1p200, 0x1p900}) {
    for (size_t i = 0; i < hessian.size(); ++i) setup.hessian[i] = factor * hessian[i];
    CHECK(setup.guided({}).codes == reference.codes);
  }
  setup.hessian = hessian;
  setup.values[70] = 1e9f;
  CHECK_THROWS_WITH_AS(setup.guided({}), doctest::Contains("65504"), Error);
  setup.values[70] = std::nanf("");
  CHECK_THROWS_WITH_AS(setup.guided({}), doctest::Contains("row 1, column 6"), Error);
}
