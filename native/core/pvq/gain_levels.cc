#include "core/pvq/gain_levels.h"

#include <algorithm>
#include <cmath>

namespace pyramidion {
namespace {

constexpr size_t bins = 8192;
constexpr size_t radii = 2048;
constexpr size_t cosine_quantiles = 256;
// Simulated weights; at D = 16 the error of the code comes out within about 0.3 %.
constexpr size_t simulated_weights = 131072;

// The library functions may differ in the last place from machine to machine; these do not.
double exact_log(double x) {
  int exponent;
  double mantissa = std::frexp(x, &exponent);
  if (mantissa < 0.70710678118654752) {
    mantissa *= 2;
    --exponent;
  }
  const double z = (mantissa - 1) / (mantissa + 1), square = z * z;
  double series = 0;
  for (int term = 23; term >= 1; term -= 2) series = series * square + 1.0 / term;
  return 2 * z * series + exponent * 0.69314718055994531;
}

double exact_exp(double x) {
  if (x < -700) return 0;
  const double whole = std::floor(x / 0.69314718055994531 + 0.5), rest = x - whole * 0.69314718055994531;
  double series = 1;
  for (int term = 16; term >= 1; --term) series = 1 + series * rest / term;
  return std::ldexp(series, static_cast<int>(whole));
}

// Newton's iteration from the fourth root, which is within a factor of a few.
double exact_cube_root(double x) {
  if (x < 1e-200) return 0;
  double root = std::sqrt(std::sqrt(x));
  for (int step = 0; step < 60; ++step) {
    const double next = (2 * root + x / (root * root)) / 3;
    if (next == root) break;
    root = next;
  }
  return root;
}

// Steele, Lea and Flood's SplitMix64, and Marsaglia's polar method on top of it.
class Gaussians {
 public:
  float next() {
    for (;;) {
      const double u = uniform(), v = uniform(), s = u * u + v * v;
      if (s > 0 && s < 1) return static_cast<float>(u * std::sqrt(-2 * exact_log(s) / s));
    }
  }

 private:
  // In (-1, 1).
  double uniform() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return static_cast<double>(static_cast<int64_t>(z ^ z >> 31) >> 11) * 0x1p-52;
  }
  uint64_t state_ = 1;
};

// Means of equally likely slices of the law of the cosine between a random direction and its point. Only the first
// `filled` coordinates of a group are not zero.
std::vector<double> cosines(const Pyramid& pyramid, int filled, SearchPoints search) {
  const int dimension = pyramid.dimension;
  const size_t count = simulated_weights / dimension, slice = count / cosine_quantiles;
  std::vector<float> groups(count * dimension);
  Gaussians gaussians;
  for (size_t g = 0; g < count; ++g) {
    for (int i = 0; i < filled; ++i) groups[g * dimension + i] = gaussians.next();
  }
  std::vector<int16_t> points(groups.size());
  search(groups.data(), count, pyramid, points.data());
  std::vector<double> all(count);
  for (size_t g = 0; g < count; ++g) {
    double ww = 0, wp = 0, pp = 0;
    for (int i = 0; i < dimension; ++i) {
      const double w = groups[g * dimension + i], p = points[g * dimension + i];
      ww += w * w;
      wp += w * p;
      pp += p * p;
    }
    all[g] = wp / std::sqrt(ww * pp);
  }
  std::sort(all.begin(), all.end());
  // Root mean squares, so that the mean square, which sets the error, is kept exactly.
  std::vector<double> quantiles(cosine_quantiles, 0);
  for (size_t q = 0; q < cosine_quantiles; ++q) {
    for (size_t i = q * slice; i < (q + 1) * slice; ++i) quantiles[q] += all[i] * all[i];
    quantiles[q] = std::sqrt(quantiles[q] / static_cast<double>(slice));
  }
  return quantiles;
}

// The norm lies between `low` and `high`, anywhere alike.
struct Shell {
  double low, high, probability;
};

// r = sqrt(n) sin(theta) has the density sin^(D-1) cos^(n-D-1) in theta, regular for every n > D; theta = 2 atan(t)
// makes both functions rational.
std::vector<Shell> norms(int dimension, size_t row_length) {
  const double d = dimension, n = static_cast<double>(row_length);
  if (n <= d) return {{std::sqrt(n), std::sqrt(n), 1}};
  // Beyond sqrt(D) + 7 lies less than 1e-10 of the law.
  const double sine = std::min(1.0, (std::sqrt(d) + 7) / std::sqrt(n));
  const double end = sine / (1 + std::sqrt(std::max(0.0, 1 - sine * sine)));
  const auto norm = [&](double t) { return std::sqrt(n) * 2 * t / (1 + t * t); };
  std::vector<Shell> law(radii);
  double largest = -1e300, sum = 0;
  for (size_t i = 0; i < radii; ++i) {
    const double low = end * static_cast<double>(i) / radii, high = end * static_cast<double>(i + 1) / radii,
                 t = (low + high) / 2, s = 2 * t / (1 + t * t), c = (1 - t * t) / (1 + t * t);
    law[i] = {norm(low), norm(high), (d - 1) * exact_log(s) + (n - d - 1) * exact_log(c) + exact_log(2 / (1 + t * t))};
    largest = std::max(largest, law[i].probability);
  }
  for (Shell& shell : law) sum += shell.probability = exact_exp(shell.probability - largest);
  for (Shell& shell : law) shell.probability /= sum;
  return law;
}

}  // namespace

ProjectionLaw::ProjectionLaw(const Pyramid& pyramid, size_t row_length, SearchPoints search)
    : mean_square_norm_(0), probability_(bins + 1, 0), moment_(bins + 1, 0) {
  const int dimension = pyramid.dimension;
  const int filled = row_length < static_cast<size_t>(dimension) ? static_cast<int>(row_length) : dimension;
  const std::vector<double> cosine = cosines(pyramid, filled, search);
  const std::vector<Shell> law = norms(dimension, row_length);
  bin_width_ = law.back().high * (1 + 1e-9) / bins;
  for (const Shell& shell : law) {
    const double mean_square = (shell.low * shell.low + shell.low * shell.high + shell.high * shell.high) / 3;
    mean_square_norm_ += shell.probability * mean_square;
    for (double c : cosine) add(shell.low * c, shell.high * c, shell.probability / cosine_quantiles);
  }
  for (size_t bin = 0; bin < bins; ++bin) {
    probability_[bin + 1] += probability_[bin];
    moment_[bin + 1] += moment_[bin];
  }
}

// Spread over its bins: were it put in one, the histogram would have gaps and lumps that hold Lloyd's iteration fast.
void ProjectionLaw::add(double low, double high, double probability) {
  const double first = low / bin_width_, last = std::max(high / bin_width_, first + 1e-6);
  const double density = probability / (last - first);
  for (size_t bin = static_cast<size_t>(first); bin < bins && static_cast<double>(bin) < last; ++bin) {
    const double from = std::max(first, static_cast<double>(bin)), to = std::min(last, static_cast<double>(bin + 1));
    probability_[bin + 1] += density * (to - from);
    moment_[bin + 1] += density * (to - from) * (from + to) / 2 * bin_width_;
  }
}

ProjectionLaw::Cumulative ProjectionLaw::below(double x) const {
  const double position = x / bin_width_;
  if (!(position > 0)) return {0, 0};
  if (position >= bins) return {probability_[bins], moment_[bins]};
  const size_t bin = static_cast<size_t>(position);
  const double part = position - static_cast<double>(bin);
  // The density is constant in a bin: the mean of its lower part lies (1 - part) / 2 of the bin below that of the
  // whole.
  const double probability = part * (probability_[bin + 1] - probability_[bin]);
  const double moment = part * (moment_[bin + 1] - moment_[bin]) - probability * (1 - part) / 2 * bin_width_;
  return {probability_[bin] + probability, moment_[bin] + moment};
}

std::vector<float> ProjectionLaw::levels(size_t count) const {
  // Start at Bennett's density^(1/3): Lloyd's iteration is slow to move many levels far.
  std::vector<double> compressed(bins + 1, 0);
  for (size_t bin = 0; bin < bins; ++bin) {
    compressed[bin + 1] = compressed[bin] + exact_cube_root(probability_[bin + 1] - probability_[bin]);
  }
  std::vector<double> level(count);
  size_t bin = 0;
  for (size_t l = 0; l < count; ++l) {
    const double target = (static_cast<double>(l) + 0.5) / static_cast<double>(count) * compressed[bins];
    while (bin + 1 < bins && compressed[bin + 1] < target) ++bin;
    level[l] = (static_cast<double>(bin) + 0.5) * bin_width_;
  }
  std::sort(level.begin(), level.end());
  // Lloyd's iteration: every level moves to the mean of its cell.
  for (int iteration = 0; iteration < 1000; ++iteration) {
    double change = 0;
    Cumulative start = {0, 0};
    for (size_t l = 0; l < count; ++l) {
      const Cumulative end =
          l + 1 < count ? below((level[l] + level[l + 1]) / 2) : Cumulative{probability_[bins], moment_[bins]};
      const double mass = end.probability - start.probability;
      if (mass > 1e-15) {
        const double mean = (end.moment - start.moment) / mass;
        change = std::max(change, std::fabs(mean - level[l]));
        level[l] = mean;
      }
      start = end;
    }
    if (change < 1e-7) break;
  }
  std::vector<float> result(level.begin(), level.end());
  std::sort(result.begin(), result.end());
  return result;
}

double ProjectionLaw::relative_error(const std::vector<float>& levels) const {
  // E (g - level)^2 = E g^2 - sum over cells (2 level E[g; cell] - level^2 P[cell]).
  double explained = 0;
  Cumulative start = {0, 0};
  for (size_t l = 0; l < levels.size(); ++l) {
    const double level = levels[l];
    const Cumulative end =
        l + 1 < levels.size() ? below((level + levels[l + 1]) / 2.0) : Cumulative{probability_[bins], moment_[bins]};
    explained += level * (2 * (end.moment - start.moment) - level * (end.probability - start.probability));
    start = end;
  }
  return std::max(0.0, 1 - explained / mean_square_norm_);
}

}  // namespace pyramidion
