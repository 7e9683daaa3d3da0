// The search inside a group that calibrated rounding prices with the group's metric, for one row of the matrix by one
// thread: native/cpu/guided_rounding/group_lanes.h for the integer lattice, the same operations in the same order.
#pragma once

#include "cuda/kernels/pyramid_search.cuh"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// As in group_lanes.h: a move must lower the error by this share of it.
constexpr float kMoveGain = 1e-6f;

// With M the metric, level g and row scale s, the error of q = m p, m = s g / ||p||, is  w'Mw + m^2 p'Mp - 2 m w'Mp.
template <int D>
struct GuidedSearch {
  const GuidedGroup& group;
  float scale;
  float Mw[D], p[D], Mp[D];
  float wMp, pMp, n, level, multiplier, cost;
  uint32_t level_index;

  // w: the values to come close to; point: where to begin.
  __device__ __forceinline__ GuidedSearch(const GuidedGroup& of, const float (&w)[D], const float (&point)[D],
                                          float row_scale)
      : group(of), scale(row_scale) {
    multiply_metric(w, Mw);
#pragma unroll
    for (int i = 0; i < D; ++i) p[i] = point[i];
    multiply_metric(p, Mp);
    price();
  }

  __device__ __forceinline__ float metric(int i, int j) const { return __ldg(group.metric + i * D + j); }

  // Takes a pulse from one coordinate and gives it to another where that helps most; false where nothing helps.
  __device__ __forceinline__ bool move_best_pulse() {
    float to_sign[D], to_w[D], to_p[D], to_n[D];
#pragma unroll
    for (int j = 0; j < D; ++j) {
      const float downhill = p[j] == 0 ? Mw[j] - multiplier * Mp[j] : p[j];
      to_sign[j] = downhill < 0 ? -1.0f : 1.0f;
      to_w[j] = to_sign[j] * Mw[j];
      to_p[j] = 2 * to_sign[j] * Mp[j] + metric(j, j);
      to_n[j] = 1 + 2 * to_sign[j] * p[j];
    }
    const float per_n = 1 / n;
    float best = 0;
    int best_move = -1;
#pragma unroll 1
    for (int i = 0; i < D; ++i) {
      const float pi = pick(p, i), Mwi = pick(Mw, i), Mpi = pick(Mp, i);
      if (!(pi * pi >= 1)) continue;
      const float sign = pi > 0 ? -1.0f : 1.0f;
      const float from_w = wMp + sign * Mwi;
      const float from_p = pMp + 2 * sign * Mpi + metric(i, i);
      const float from_n = 1 + 2 * sign * pi;
      const float twice = 2 * sign;
#pragma unroll
      for (int j = 0; j < D; ++j) {
        if (j == i) continue;
        const float moved_w = from_w + to_w[j];
        const float moved_p = from_p + to_p[j] + twice * to_sign[j] * metric(i, j);
        consider(moved_w, moved_p, (from_n + to_n[j]) * per_n, i * D + j, best, best_move);
      }
      // The last pulse of a coordinate may also change its sign.
      if (pi * pi == 1) {
        const float moved_p = pMp + 4 * (sign * Mpi + metric(i, i));
        consider(wMp + twice * Mwi, moved_p, 0, i * D + i, best, best_move);
      }
    }
    return best_move >= 0 && accept(best_move / D, best_move % D, to_sign);
  }

 private:
  __device__ __forceinline__ void multiply_metric(const float (&v)[D], float (&product)[D]) const {
#pragma unroll
    for (int i = 0; i < D; ++i) product[i] = 0;
#pragma unroll 1
    for (int j = 0; j < D; ++j) {
      const float vj = pick(v, j);
#pragma unroll
      for (int i = 0; i < D; ++i) product[i] = fmaf(vj, metric(i, j), product[i]);
    }
  }

  // The level nearest to the best gain wMp / pMp, and the error with it.
  __device__ __forceinline__ void price() {
    wMp = pMp = n = 0;
#pragma unroll
    for (int i = 0; i < D; ++i) {
      wMp += p[i] * Mw[i];
      pMp += p[i] * Mp[i];
      n += p[i] * p[i];
    }
    const float unit = scale * (1 / sqrtf(n));
    const float wanted = 2 * wMp, per_level = pMp * unit;
    level = __ldg(group.levels);
    level_index = 0;
    float below = level;
    for (uint32_t l = 1; l < group.level_count; ++l) {
      const float above = __ldg(group.levels + l);
      if (wanted > per_level * (below + above)) {
        level = above;
        level_index = l;
      }
      below = above;
    }
    multiplier = level * unit;
    cost = multiplier * (multiplier * pMp - 2 * wMp);
  }

  // Prices a move with the level kept and 1 / ||p|| to second order in the relative change of n; accept() is exact.
  __device__ __forceinline__ void consider(float moved_w, float moved_p, float change, int move, float& best,
                                           int& best_move) const {
    const float m = multiplier * (1 + change * (0.375f * change - 0.5f));
    const float gain = cost - m * (m * moved_p - 2 * moved_w);
    if (gain > best) {
      best = gain;
      best_move = move;
    }
  }

  __device__ __forceinline__ bool accept(int from, int to, const float (&to_sign)[D]) {
    const float from_step = pick(p, from) > 0 ? -1.0f : 1.0f, to_step = from == to ? from_step : pick(to_sign, to);
    float Mp_before[D];
#pragma unroll
    for (int i = 0; i < D; ++i) Mp_before[i] = Mp[i];
    const float wMp_before = wMp, pMp_before = pMp, n_before = n, level_before = level;
    const float multiplier_before = multiplier, cost_before = cost;
    const uint32_t index_before = level_index;
    // In the coordinates' order.
    if (from == to) {
      couple(from, from_step + to_step);
    } else {
      couple(from < to ? from : to, from < to ? from_step : to_step);
      couple(from < to ? to : from, from < to ? to_step : from_step);
    }
    move(from, from_step);
    move(to, to_step);
    price();
    if (cost < cost_before - kMoveGain * (cost_before < 0 ? -cost_before : cost_before)) return true;
    move(from, -from_step);
    move(to, -to_step);
#pragma unroll
    for (int i = 0; i < D; ++i) Mp[i] = Mp_before[i];
    wMp = wMp_before;
    pMp = pMp_before;
    n = n_before;
    level = level_before;
    level_index = index_before;
    multiplier = multiplier_before;
    cost = cost_before;
    return false;
  }

  // A coordinate's step in p, and what it adds to M p.
  __device__ __forceinline__ void move(int coordinate, float step) {
#pragma unroll
    for (int k = 0; k < D; ++k) p[k] = k == coordinate ? p[k] + step : p[k];
  }
  __device__ __forceinline__ void couple(int coordinate, float step) {
#pragma unroll
    for (int k = 0; k < D; ++k) Mp[k] += step * metric(coordinate, k);
  }
};

}  // namespace pyramidion::cuda
