// The search behind encode_integer_rows.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/matrix/half.h"
#include "core/matrix/integer_matrix.h"
#include "core/matrix/small_codes.h"

namespace pyramidion {
namespace {

// Shares of the full range that are tried, from 1 down.
constexpr int kClips = 24;
constexpr float kClipStep = 0.025f;

float rounded_to_half(double value) {
  return half_to_float(float_to_half(static_cast<float>(std::clamp(value, -65504.0, 65504.0))));
}

class GroupEncoder {
 public:
  explicit GroupEncoder(const IntegerSettings& settings)
      : highest_((1 << settings.bits) - 1),
        middle_(settings.symmetric ? 1 << (settings.bits - 1) : 0),
        symmetric_(settings.symmetric),
        levels_(settings.group_size) {}

  // Writes the best codes found, and their scale and minimum.
  void encode(const float* values, size_t count, uint8_t* codes, uint16_t* scale, uint16_t* minimum) {
    least_ = std::numeric_limits<double>::infinity();
    const auto [low, high] = std::minmax_element(values, values + count);
    for (int clip = 0; clip < kClips; ++clip) {
      const float share = 1.0f - kClipStep * static_cast<float>(clip);
      if (symmetric_) {
        // There is one more code below zero than above it: either sign of the scale may be the better one.
        const float extent =
            std::max(std::fabs(*low), std::fabs(*high)) * share / static_cast<float>(std::max(middle_, 1));
        consider(values, count, extent, 0, codes);
        consider(values, count, -extent, 0, codes);
      } else {
        const float center = (*low + *high) / 2, width = (*high - *low) * share;
        consider(values, count, width / static_cast<float>(highest_), center - width / 2, codes);
      }
    }
    *scale = float_to_half(best_scale_);
    *minimum = float_to_half(best_minimum_);
  }

 private:
  // Levels for this scale, the least-squares fit to them in f16, levels for the fit; kept if they are the best so far.
  void consider(const float* values, size_t count, float scale, float minimum, uint8_t* codes) {
    round(values, count, scale, minimum);
    const float* levels = levels_.data();
    const double n = static_cast<double>(count);
    const double q = sum(count, [=](size_t i) { return levels[i]; });
    const double qq = sum(count, [=](size_t i) { return levels[i] * levels[i]; });
    const double w = sum(count, [=](size_t i) { return values[i]; });
    const double wq = sum(count, [=](size_t i) { return values[i] * levels[i]; });
    if (symmetric_) {
      if (qq > 0) scale = static_cast<float>(wq / qq);
    } else if (const double determinant = n * qq - q * q; determinant > 0) {
      scale = static_cast<float>((n * wq - q * w) / determinant);
      minimum = static_cast<float>((w - scale * q) / n);
    }
    scale = rounded_to_half(scale);
    minimum = rounded_to_half(minimum);
    round(values, count, scale, minimum);
    const double error = sum(count, [=](size_t i) {
      const float difference = values[i] - (scale * levels[i] + minimum);
      return difference * difference;
    });
    if (error < least_) {
      least_ = error;
      best_scale_ = scale;
      best_minimum_ = minimum;
      for (size_t i = 0; i < count; ++i) codes[i] = static_cast<uint8_t>(levels[i] + static_cast<float>(middle_));
    }
  }

  // levels = (values - minimum) / scale, rounded and clamped to what codes can hold.
  void round(const float* values, size_t count, float scale, float minimum) {
    const float inverse = scale == 0 ? 0.0f : 1.0f / scale;
    const float low = static_cast<float>(-middle_), high = static_cast<float>(highest_ - middle_);
    constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    for (size_t i = 0; i < count; ++i) {
      const float level = std::min(std::max((values[i] - minimum) * inverse, low), high);
      levels_[i] = (level + kMagic) - kMagic;
    }
  }

  // Sums of term(i) in eight lanes of floats, which the compiler keeps in vectors.
  template <class Term>
  static double sum(size_t count, Term term) {
    float lanes[8] = {};
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
      for (size_t lane = 0; lane < 8; ++lane) lanes[lane] += term(i + lane);
    }
    double total = 0;
    for (float lane : lanes) total += lane;
    for (; i < count; ++i) total += term(i);
    return total;
  }

  int highest_, middle_;
  bool symmetric_;
  std::vector<float> levels_;
  double least_ = 0;
  float best_scale_ = 0, best_minimum_ = 0;
};

}  // namespace

IntegerRows encode_integer_rows(const float* values, size_t rows, size_t columns, const IntegerSettings& settings,
                                ThreadPool& pool) {
  const size_t groups = settings.groups(columns), row_bytes = small_code_bytes(columns, settings.bits);
  IntegerRows stored{std::vector<uint8_t>(rows * row_bytes), std::vector<uint16_t>(rows * groups),
                     std::vector<uint16_t>(settings.symmetric ? 0 : rows * groups)};
  pool.parallel_for(rows, 8, [&](size_t first, size_t last) {
    GroupEncoder encoder(settings);
    std::vector<uint8_t> codes(columns);
    for (size_t row = first; row < last; ++row) {
      for (size_t group = 0; group < groups; ++group) {
        const size_t begin = group * settings.group_size, count = std::min(settings.group_size, columns - begin);
        uint16_t minimum;
        encoder.encode(values + row * columns + begin, count, codes.data() + begin,
                       &stored.scales[row * groups + group], &minimum);
        if (!settings.symmetric) stored.minimums[row * groups + group] = minimum;
      }
      pack_small_codes(codes.data(), columns, settings.bits, stored.codes.data() + row * row_bytes);
    }
  });
  return stored;
}

}  // namespace pyramidion
