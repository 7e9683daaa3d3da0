// The moves of core/pvq/pulse_group.h on many groups at once, one group a lane, written once with the compilers' vector
// types and compiled for each instruction set. Every lane goes through exactly the operations of the scalar form, in
// the same order, so that the points are the same bit for bit.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first. Everything here has
// internal linkage: code compiled for one instruction set must never be merged with that for another.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if PYRAMIDION_LANES > 4
#include <immintrin.h>
#endif

namespace pyramidion {
namespace {

constexpr int lanes = PYRAMIDION_LANES;
typedef float Floats __attribute__((vector_size(4 * lanes)));
typedef int32_t Integers __attribute__((vector_size(4 * lanes)));
typedef int16_t Shorts __attribute__((vector_size(2 * lanes)));

// As in core/pvq/pulse_group.h.
constexpr float swap_gain = 1e-5f;
constexpr int max_swaps = 64;

inline bool any(const Integers& mask) {
#if PYRAMIDION_LANES == 16
  return _mm512_test_epi32_mask(__m512i(mask), __m512i(mask)) != 0;
#elif PYRAMIDION_LANES == 8
  return _mm256_testz_si256(__m256i(mask), __m256i(mask)) == 0;
#else
  int64_t words[lanes / 2], all = 0;
  memcpy(words, &mask, sizeof(words));
  for (int64_t word : words) all |= word;
  return all != 0;
#endif
}

template <int D>
struct Groups {
  Floats q[D], e[D];
  Floats E = {}, h = {}, n = {}, total = {};

  void place(int i, const Floats& target, const Floats& point) {
    q[i] = point;
    e[i] = target - point;
    E += e[i] * e[i];
    h += e[i] * point;
    n += point * point;
    total += point;
  }

  // The other's point, in every lane of the mask.
  void take(const Groups& other, const Integers& mask) {
    for (int i = 0; i < D; ++i) {
      q[i] = mask ? other.q[i] : q[i];
      e[i] = mask ? other.e[i] : e[i];
    }
    E = mask ? other.E : E;
    h = mask ? other.h : h;
    n = mask ? other.n : n;
    total = mask ? other.total : total;
  }

  void correct(float pulses) {
    for (Integers mask = total > pulses; any(mask); mask = total > pulses) remove_best_pulse(mask);
    for (Integers mask = total < pulses; any(mask); mask = total < pulses) add_best_pulse(mask);
  }

  void swap_pulses() {
    Integers moving = Integers{} == 0;
    for (int swap = 0; swap < max_swaps && any(moving); ++swap) moving = swap_best_pulse(moving);
  }

 private:
  // Lane by lane: one pulse more at index `at`, where the mask is set.
  void add_pulse(const Integers& at, const Integers& mask) {
    for (int i = 0; i < D; ++i) {
      const Integers here = mask & (at == i);
      E = here ? E + (1 - 2 * e[i]) : E;
      h = here ? h + (-1 - (q[i] - e[i])) : h;
      n = here ? n + (1 + 2 * q[i]) : n;
      q[i] = here ? q[i] + 1 : q[i];
      e[i] = here ? e[i] - 1 : e[i];
      total = here ? total + 1 : total;
    }
  }

  void remove_pulse(const Integers& at, const Integers& mask) {
    for (int i = 0; i < D; ++i) {
      const Integers here = mask & (at == i);
      E = here ? E + (1 + 2 * e[i]) : E;
      h = here ? h + (-1 + (q[i] - e[i])) : h;
      n = here ? n + (1 - 2 * q[i]) : n;
      q[i] = here ? q[i] - 1 : q[i];
      e[i] = here ? e[i] + 1 : e[i];
      total = here ? total - 1 : total;
    }
  }

  void add_best_pulse(const Integers& mask) {
    Integers best = {};
    Floats best_numerator = {}, best_n = {};
    for (int i = 0; i < D; ++i) {
      const Floats moved_E = E + (1 - 2 * e[i]), moved_h = h + (-1 - (q[i] - e[i])), moved_n = n + (1 + 2 * q[i]);
      const Floats numerator = moved_E * moved_n - moved_h * moved_h;
      const Integers better = i == 0 ? Integers{} == 0 : numerator * best_n < best_numerator * moved_n;
      best = better ? Integers{} + i : best;
      best_numerator = better ? numerator : best_numerator;
      best_n = better ? moved_n : best_n;
    }
    add_pulse(best, mask);
  }

  void remove_best_pulse(const Integers& mask) {
    Integers best = Integers{} - 1;
    Floats best_numerator = {}, best_n = {};
    for (int i = 0; i < D; ++i) {
      const Floats moved_E = E + (1 + 2 * e[i]), moved_h = h + (-1 + (q[i] - e[i])), moved_n = n + (1 - 2 * q[i]);
      const Floats numerator = moved_E * moved_n - moved_h * moved_h;
      const Integers better = (q[i] >= 1) & ((best < 0) | (numerator * best_n < best_numerator * moved_n));
      best = better ? Integers{} + i : best;
      best_numerator = better ? numerator : best_numerator;
      best_n = better ? moved_n : best_n;
    }
    remove_pulse(best, mask);
  }

  // Moves one pulse in every lane of the mask where that helps; returns those lanes.
  Integers swap_best_pulse(const Integers& mask) {
    Integers best = Integers{} - 1;  // from * D + to
    Floats best_numerator = (E * n - h * h) * (1 - swap_gain), best_n = n;
    Floats more_E[D], more_h[D], more_n[D];
    for (int j = 0; j < D; ++j) {
      more_E[j] = 1 - 2 * e[j];
      more_h[j] = -1 - (q[j] - e[j]);
      more_n[j] = 1 + 2 * q[j];
    }
    for (int i = 0; i < D; ++i) {
      // Where there is no pulse to take, a distance that no move improves on.
      const Floats less_E = (mask & (q[i] >= 1)) ? E + (1 + 2 * e[i]) : Floats{} + 1e30f;
      const Floats less_h = h + (-1 + (q[i] - e[i])), less_n = n + (1 - 2 * q[i]);
      for (int j = 0; j < D; ++j) {
        if (j == i) continue;
        const Floats moved_E = less_E + more_E[j], moved_h = less_h + more_h[j], moved_n = less_n + more_n[j];
        const Floats numerator = moved_E * moved_n - moved_h * moved_h;
        const Integers better = numerator * best_n < best_numerator * moved_n;
        best = better ? Integers{} + (i * D + j) : best;
        best_numerator = better ? numerator : best_numerator;
        best_n = better ? moved_n : best_n;
      }
    }
    const Integers moving = best >= 0;
    remove_pulse(best / D, moving);
    add_pulse(best & (D - 1), moving);
    return moving;
  }
};

// The nearest whole number of a >= 0.
inline Floats whole(const Floats& a) {
  return __builtin_convertvector(__builtin_convertvector(a + 0.5f, Integers), Floats);
}

// |w| scaled so that its D magnitudes sum to `sum`; a group of zeros as (0, ..., 0, 1).
template <int D>
void scale_magnitudes(const Floats* w, float sum, Floats* a) {
  Floats largest = {}, total = {};
  for (int i = 0; i < D; ++i) {
    a[i] = w[i] < 0 ? -w[i] : w[i];
    largest = a[i] > largest ? a[i] : largest;
  }
  const Integers zeros = largest == 0;
  largest = zeros ? Floats{} + 1 : largest;
  a[D - 1] = zeros ? Floats{} + 1 : a[D - 1];
  for (int i = 0; i < D; ++i) total += a[i] = a[i] / largest;
  const Floats scale = sum / total;
  for (int i = 0; i < D; ++i) a[i] *= scale;
}

}  // namespace
}  // namespace pyramidion
