// The pyramid search of native/core/pvq/pyramid_search.h by one thread: the same operations in the same order, so the
// same points bit for bit. Loops over coordinates are unrolled, so that a group stays in registers; what depends on the
// chosen coordinate is a selection in each.
#pragma once

#include "cuda/kernels/target.cuh"

namespace pyramidion::cuda {

// values[i] for an i that is known only when the kernel runs: selected, so that the values stay in registers.
template <int D>
__device__ __forceinline__ float pick(const float (&values)[D], int i) {
  float picked = values[0];
#pragma unroll
  for (int j = 1; j < D; ++j) picked = i == j ? values[j] : picked;
  return picked;
}

template <int D>
struct PulseGroup {
  static constexpr float swap_gain = 1e-5f;
  static constexpr int max_swaps = 64;

  // As PulseGroup of native/core/pvq/pulse_group.h: target - point, E = ||e||^2, h = <e,q>, n = ||q||^2.
  float q[D], e[D];
  float E, h, n, total;

  __device__ __forceinline__ void start(const float* target) {
    E = h = n = total = 0;
#pragma unroll
    for (int i = 0; i < D; ++i) {
      q[i] = static_cast<float>(static_cast<int>(target[i] + 0.5f));
      e[i] = target[i] - q[i];
      E += e[i] * e[i];
      h += e[i] * q[i];
      n += q[i] * q[i];
      total += q[i];
    }
  }

  __device__ __forceinline__ void correct(float pulses) {
    while (total > pulses) remove_best_pulse();
    while (total < pulses) add_best_pulse();
  }

  __device__ __forceinline__ void swap_pulses() {
#pragma unroll 1
    for (int swap = 0; swap < max_swaps && swap_best_pulse(); ++swap) {
    }
  }

 private:
  __device__ __forceinline__ void add_pulse(int at) {
#pragma unroll
    for (int i = 0; i < D; ++i) {
      if (i != at) continue;
      E += 1 - 2 * e[i];
      h += -1 - (q[i] - e[i]);
      n += 1 + 2 * q[i];
      q[i] += 1;
      e[i] -= 1;
    }
    total += 1;
  }

  __device__ __forceinline__ void remove_pulse(int at) {
#pragma unroll
    for (int i = 0; i < D; ++i) {
      if (i != at) continue;
      E += 1 + 2 * e[i];
      h += -1 + (q[i] - e[i]);
      n += 1 - 2 * q[i];
      q[i] -= 1;
      e[i] += 1;
    }
    total -= 1;
  }

  __device__ __forceinline__ void add_best_pulse() {
    int best = 0;
    float best_numerator = 0, best_n = 0;
#pragma unroll
    for (int i = 0; i < D; ++i) {
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

  __device__ __forceinline__ void remove_best_pulse() {
    int best = -1;
    float best_numerator = 0, best_n = 0;
#pragma unroll
    for (int i = 0; i < D; ++i) {
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

  __device__ __forceinline__ bool swap_best_pulse() {
    int from = -1, to = -1;
    float best_numerator = (E * n - h * h) * (1 - swap_gain), best_n = n;
    // Not unrolled: D^2 moves would make a kernel that takes long to compile.
#pragma unroll 1
    for (int i = 0; i < D; ++i) {
      const float qi = pick(q, i), ei = pick(e, i);
      if (qi < 1) continue;
      const float less_E = E + (1 + 2 * ei), less_h = h + (-1 + (qi - ei)), less_n = n + (1 - 2 * qi);
#pragma unroll
      for (int j = 0; j < D; ++j) {
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

// |w| scaled so that its magnitudes sum to `sum`; a group of zeros as (0, ..., 0, 1).
template <int D>
__device__ __forceinline__ void scale_magnitudes(const float* w, float sum, float* magnitudes) {
  float largest = 0, total = 0;
#pragma unroll
  for (int i = 0; i < D; ++i) {
    magnitudes[i] = fabsf(w[i]);
    largest = magnitudes[i] > largest ? magnitudes[i] : largest;
  }
  if (largest == 0) largest = magnitudes[D - 1] = 1;
#pragma unroll
  for (int i = 0; i < D; ++i) {
    magnitudes[i] = magnitudes[i] / largest;
    total += magnitudes[i];
  }
  const float scale = sum / total;
#pragma unroll
  for (int i = 0; i < D; ++i) magnitudes[i] *= scale;
}

// The point of P(D,pulses) that maximises <w,p> / ||p||, as floats; without swaps, the one that rounding and the pulses
// that are missing or too many then lead to.
template <int D>
__device__ __forceinline__ void search_point(const float* w, int pulses, float* point, bool swaps = true) {
  float target[D];
  scale_magnitudes<D>(w, static_cast<float>(pulses), target);
  PulseGroup<D> group;
  group.start(target);
  group.correct(static_cast<float>(pulses));
  if (swaps) group.swap_pulses();
#pragma unroll
  for (int i = 0; i < D; ++i) point[i] = w[i] < 0 ? -group.q[i] : group.q[i];
}

}  // namespace pyramidion::cuda
