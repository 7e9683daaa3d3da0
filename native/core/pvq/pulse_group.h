// The moves that the searches of core/pvq share: a point q in the positive orthant near the target a, its pulses
// corrected and swapped one by one. With e = a - q, maximising <a,q>^2 / ||q||^2 is minimising
//   f = E - h^2 / n,   E = ||e||^2,  h = <e,q>,  n = ||q||^2,
// where every quantity is small however large K is, so that single precision prices moves exactly enough. A pulse more
// or less at i changes (E, h, n) by (1 - 2e, -1 - (q-e), 1 + 2q) or (1 + 2e, -1 + (q-e), 1 - 2q).
#pragma once

#include "core/pvq/pyramid_counts.h"

namespace pyramidion {

// Moves are compared as fractions (E n - h^2) / n, cross-multiplied.
struct PulseGroup {
  // A swap must lower f by this much, relative, so that rounding errors cannot make it go round in circles.
  static constexpr float swap_gain = 1e-5f;
  static constexpr int max_swaps = 64;

  int dimension;
  float q[PyramidCounts::max_dimension], e[PyramidCounts::max_dimension];
  float E = 0, h = 0, n = 0, total = 0;

  // Coordinate i, not yet there, at `point`.
  void place(int i, float target, float point) {
    q[i] = point;
    e[i] = target - point;
    E += e[i] * e[i];
    h += e[i] * point;
    n += point * point;
    total += point;
  }

  // Adds or removes the pulses that cost least until there are so many.
  void correct(float pulses) {
    while (total > pulses) remove_best_pulse();
    while (total < pulses) add_best_pulse();
  }

  void swap_pulses() {
    for (int swap = 0; swap < max_swaps && swap_best_pulse(); ++swap) {
    }
  }

 private:
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
      if (q[i] < 1) continue;
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
      if (q[i] < 1) continue;
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

// |w| scaled so that its D magnitudes sum to `sum`; a group of zeros as (0, ..., 0, 1).
void scale_magnitudes(const float* w, int dimension, float sum, float* magnitudes);

}  // namespace pyramidion
