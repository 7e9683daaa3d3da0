#include "core/pvq/pyramid_search.h"

#include <cmath>

#include "core/pvq/pyramid_counts.h"

namespace pyramidion {
namespace {

// A swap must lower f by this much, relative, so that rounding errors cannot make it go round in circles.
constexpr float swap_gain = 1e-5f;
constexpr int max_swaps = 64;

// The state of one group. Moves are compared as fractions (E n - h^2) / n, cross-multiplied.
struct Group {
  int dimension;
  float q[PyramidCounts::max_dimension], e[PyramidCounts::max_dimension];
  float E = 0, h = 0, n = 0, total = 0;

  void add_pulse(int i) {
    E += 1 - 2 * e[i];
    h += -1 - (q[i] - e[i]);
    n += 1 + 2 * q[i];
    q[i] += 1;
    e[i] -= 1;
    total += 1;
  }

  void remove_pulse(int i) {
    E += 1 + 2 * e[i];
    h += -1 + (q[i] - e[i]);
    n += 1 - 2 * q[i];
    q[i] -= 1;
    e[i] += 1;
    total -= 1;
  }

  void add_best_pulse() {
    int best = 0;
    float best_numerator = 0, best_n = 0;
    for (int i = 0; i < dimension; ++i) {
      const float moved_E = E + (1 - 2 * e[i]), moved_h = h + (-1 - (q[i] - e[i])), moved_n = n + (1 + 2 * q[i]);
      const float numerator = moved_E * moved_n - moved_h * moved_h;
      if (i == 0 || numerator * best_n < best_numerator * moved_n) {
        best = i;
        best_numerator = numerator;
        best_n = moved_n;
      }
    }
    add_pulse(best);
  }

  void remove_best_pulse() {
    int best = -1;
    float best_numerator = 0, best_n = 0;
    for (int i = 0; i < dimension; ++i) {
      if (q[i] == 0) continue;
      const float moved_E = E + (1 + 2 * e[i]), moved_h = h + (-1 + (q[i] - e[i])), moved_n = n + (1 - 2 * q[i]);
      const float numerator = moved_E * moved_n - moved_h * moved_h;
      if (best < 0 || numerator * best_n < best_numerator * moved_n) {
        best = i;
        best_numerator = numerator;
        best_n = moved_n;
      }
    }
    remove_pulse(best);
  }

  // Moves one pulse to where it helps most; false when no move helps.
  bool swap_best_pulse() {
    int from = -1, to = -1;
    float best_numerator = (E * n - h * h) * (1 - swap_gain), best_n = n;
    for (int i = 0; i < dimension; ++i) {
      if (q[i] == 0) continue;
      const float less_E = E + (1 + 2 * e[i]), less_h = h + (-1 + (q[i] - e[i])), less_n = n + (1 - 2 * q[i]);
      for (int j = 0; j < dimension; ++j) {
        if (j == i) continue;
        const float moved_E = less_E + (1 - 2 * e[j]);
        const float moved_h = less_h + (-1 - (q[j] - e[j]));
        const float moved_n = less_n + (1 + 2 * q[j]);
        const float numerator = moved_E * moved_n - moved_h * moved_h;
        if (numerator * best_n < best_numerator * moved_n) {
          from = i;
          to = j;
          best_numerator = numerator;
          best_n = moved_n;
        }
      }
    }
    if (from < 0) return false;
    remove_pulse(from);
    add_pulse(to);
    return true;
  }
};

void search_point(const float* w, int dimension, int pulses, int16_t* point) {
  // Dividing by the largest first keeps the sum clear of overflow and of denormals.
  float largest = 0;
  for (int i = 0; i < dimension; ++i) largest = std::fabs(w[i]) > largest ? std::fabs(w[i]) : largest;
  if (largest == 0) {
    for (int i = 0; i < dimension; ++i) point[i] = 0;
    point[dimension - 1] = static_cast<int16_t>(pulses);
    return;
  }
  float a[PyramidCounts::max_dimension], sum = 0;
  for (int i = 0; i < dimension; ++i) sum += a[i] = std::fabs(w[i]) / largest;
  const float scale = static_cast<float>(pulses) / sum;
  Group group;
  group.dimension = dimension;
  for (int i = 0; i < dimension; ++i) {
    a[i] *= scale;
    const float q = static_cast<float>(static_cast<int32_t>(a[i] + 0.5f)), e = a[i] - q;
    group.q[i] = q;
    group.e[i] = e;
    group.E += e * e;
    group.h += e * q;
    group.n += q * q;
    group.total += q;
  }
  while (group.total > static_cast<float>(pulses)) group.remove_best_pulse();
  while (group.total < static_cast<float>(pulses)) group.add_best_pulse();
  for (int swap = 0; swap < max_swaps && group.swap_best_pulse(); ++swap) {
  }
  for (int i = 0; i < dimension; ++i) {
    const int16_t q = static_cast<int16_t>(group.q[i]);
    point[i] = w[i] < 0 ? static_cast<int16_t>(-q) : q;
  }
}

}  // namespace

void search_points(const float* groups, size_t count, int dimension, int pulses, int16_t* points) {
  for (size_t g = 0; g < count; ++g) {
    search_point(groups + g * dimension, dimension, pulses, points + g * dimension);
  }
}

}  // namespace pyramidion
