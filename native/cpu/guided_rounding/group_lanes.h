// The search inside a group that calibrated rounding prices with the group's metric, a row of the matrix a lane.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#if PYRAMIDION_LANES > 4
// As in avx512_wide.h of decoding: a false alarm of GCC 12.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#elif defined(PYRAMIDION_NEON)
#include <arm_neon.h>
#endif

#include "cpu/guided_rounding/dispatch.h"
#include "cpu/pvq_search/lanes.h"

namespace pyramidion {
namespace {

// a * b + c, rounded once on every instruction set: where the portable one has no instruction for it, at the cost of a
// call a lane. Most of the time goes into sums of such products.
inline Floats multiply_add(const Floats& a, float b, const Floats& c) {
#if PYRAMIDION_LANES == 16
  return _mm512_fmadd_ps(a, _mm512_set1_ps(b), c);
#elif PYRAMIDION_LANES == 8
  return _mm256_fmadd_ps(a, _mm256_set1_ps(b), c);
#elif defined(PYRAMIDION_NEON)
  return vfmaq_n_f32(c, a, b);
#else
  Floats sum;
  for (int lane = 0; lane < lanes; ++lane) sum[lane] = __builtin_fmaf(a[lane], b, c[lane]);
  return sum;
#endif
}

// A move must lower the error by this share of it, so that rounding noise cannot make moves go in circles.
constexpr float move_gain = 1e-6f;

// Words of the Barnes-Wall lattice that a sweep tries beside the one it has.
constexpr int other_words = 4;

// Square root and division are rounded the same everywhere.
inline Floats inverse_square_root(const Floats& x) {
#if PYRAMIDION_LANES == 16
  return 1 / Floats(_mm512_sqrt_ps(x));
#elif PYRAMIDION_LANES == 8
  return 1 / Floats(_mm256_sqrt_ps(x));
#elif defined(PYRAMIDION_NEON)
  return 1 / Floats(vsqrtq_f32(x));
#else
  Floats root = {};
  for (int lane = 0; lane < lanes; ++lane) root[lane] = 1 / __builtin_sqrtf(x[lane]);
  return root;
#endif
}

// A group of every row: targets w, points p, and what pricing a move needs. With M the group's metric, level g and row
// scale s, the error of q = m p, m = s g / ||p||, is  w'Mw + m^2 p'Mp - 2 m w'Mp; the first term never changes.
//
// Points of the Barnes-Wall lattice are in units of two, so that its moves are of one pulse like those of Z^D, and the
// coordinates of one are whole or half an odd number (core/pvq/barnes_wall_search.h).
template <int D, Lattice L>
struct GuidedLanes {
  static constexpr float unit_of_points = L == Lattice::barnes_wall ? 2 : 1;

  const GuidedGroup& group;
  Floats scale;
  Floats Mw[D], p[D], Mp[D];
  Floats wMp, pMp, n, level, multiplier, cost;
  Integers level_index;

  // w: the values to come close to.
  GuidedLanes(const GuidedGroup& of, const Floats* w, const Floats& row_scale) : group(of), scale(row_scale) {
    multiply_metric(w, Mw);
  }

  void start_at_search(const Floats* w) {
    if constexpr (L == Lattice::barnes_wall) {
      start_at_best_word(w);
    } else {
      search_integer<D>(w, group.pyramid.pulses, p);
      multiply_metric(p, Mp);
      price();
    }
  }

  // points: D x lanes.
  void start_at(const int16_t* points) {
    for (int i = 0; i < D; ++i) {
      for (int lane = 0; lane < lanes; ++lane) p[i][lane] = points[i * lanes + lane] / unit_of_points;
    }
    multiply_metric(p, Mp);
    price();
  }

  void multiply_metric(const Floats* v, Floats* product) const {
    for (int i = 0; i < D; ++i) {
      Floats sum = {};
      for (int j = 0; j < D; ++j) sum = multiply_add(v[j], group.metric[i * D + j], sum);
      product[i] = sum;
    }
  }

  // The level nearest to the best gain wMp / pMp, and the error with it.
  void price() {
    wMp = pMp = n = Floats{};
    for (int i = 0; i < D; ++i) {
      wMp += p[i] * Mw[i];
      pMp += p[i] * Mp[i];
      n += p[i] * p[i];
    }
    const Floats unit = scale * inverse_square_root(n);
    // wMp / pMp / unit > (a + b) / 2, without the divisions.
    const Floats wanted = 2 * wMp, per_level = pMp * unit;
    level = Floats{} + group.levels[0];
    level_index = Integers{};
    for (size_t l = 1; l < group.level_count; ++l) {
      const Integers above = wanted > per_level * (group.levels[l - 1] + group.levels[l]);
      level = above ? Floats{} + group.levels[l] : level;
      level_index = above ? Integers{} + static_cast<int32_t>(l) : level_index;
    }
    multiplier = level * unit;
    cost = multiplier * (multiplier * pMp - 2 * wMp);
  }

  // Moves change no residues. Points with others are looked for near the point at hand, by a model of the cost without
  // what couples coordinates: coordinate i would like to be at y_i, at the price of M_ii times the square of its
  // distance.
  void try_other_words() {
    const float most = static_cast<float>(group.pyramid.pulses) / 2;
    Floats y[D];
    float weights[D];
    for (int i = 0; i < D; ++i) {
      weights[i] = group.metric[i * D + i];
      y[i] = p[i] + (Mw[i] - multiplier * Mp[i]) / (multiplier * weights[i]);
      // Also where the level is zero and y no number.
      y[i] = y[i] < most ? y[i] : Floats{} + most;
      y[i] = y[i] > -most ? y[i] : Floats{} - most;
    }
    BarnesWallGroups groups(y, weights, group.pyramid.pulses);
    for (int candidate = 0; candidate < other_words; ++candidate) try_candidate(groups.next(), y);
  }

  // Takes a pulse from one coordinate and gives it to another, in every lane of the mask where that helps; returns
  // those.
  Integers move_best_pulse(const Integers& mask) {
    Floats to_sign[D], to_w[D], to_p[D], to_n[D];
    for (int j = 0; j < D; ++j) {
      const Floats downhill = p[j] == 0 ? Mw[j] - multiplier * Mp[j] : p[j];
      to_sign[j] = downhill < 0 ? Floats{} - 1 : Floats{} + 1;
      to_w[j] = to_sign[j] * Mw[j];
      to_p[j] = 2 * to_sign[j] * Mp[j] + group.metric[j * D + j];
      to_n[j] = 1 + 2 * to_sign[j] * p[j];
    }
    const Floats per_n = 1 / n;
    Floats best = {};
    Integers best_move = Integers{} - 1;
    for (int i = 0; i < D; ++i) {
      const Integers movable = mask & (p[i] * p[i] >= 1);
      if (!any(movable)) continue;
      const Floats sign = p[i] > 0 ? Floats{} - 1 : Floats{} + 1;
      const Floats from_w = wMp + sign * Mw[i];
      const Floats from_p = pMp + 2 * sign * Mp[i] + group.metric[i * D + i];
      const Floats from_n = 1 + 2 * sign * p[i];
      const Floats twice = 2 * sign;
      for (int j = 0; j < D; ++j) {
        if (j == i) continue;
        const Floats moved_w = from_w + to_w[j];
        const Floats moved_p = from_p + to_p[j] + twice * to_sign[j] * group.metric[i * D + j];
        consider(moved_w, moved_p, (from_n + to_n[j]) * per_n, i * D + j, movable, best, best_move);
      }
      // The last pulse of a coordinate may also change its sign.
      const Integers flippable = movable & (p[i] * p[i] == 1);
      if (any(flippable)) {
        const Floats moved_p = pMp + 4 * (sign * Mp[i] + group.metric[i * D + i]);
        consider(wMp + twice * Mw[i], moved_p, Floats{}, i * D + i, flippable, best, best_move);
      }
    }
    return accept(best_move, to_sign);
  }

 private:
  // Of the words that the Euclidean search prefers, the one whose point costs least.
  void start_at_best_word(const Floats* w) {
    Floats y[D];
    scale_to_barnes_wall(w, group.pyramid.pulses, y);
    BarnesWallGroups groups(y, equal_weights, group.pyramid.pulses);
    start_at(groups.next(), y);
    for (int candidate = 1; candidate < barnes_wall_candidates; ++candidate) try_candidate(groups.next(), y);
  }

  void start_at(const BarnesWallGroups::Candidate& candidate, const Floats* y) {
    for (int i = 0; i < D; ++i) p[i] = candidate.coordinate(i, y[i]);
    multiply_metric(p, Mp);
    price();
  }

  void try_candidate(const BarnesWallGroups::Candidate& candidate, const Floats* y) {
    const GuidedLanes before = *this;
    start_at(candidate, y);
    keep(cost < before.cost, before);
  }

  // Prices a move with the level kept and 1 / ||p|| to second order in the relative change of n; accept() is exact.
  void consider(const Floats& moved_w, const Floats& moved_p, const Floats& change, int move, const Integers& allowed,
                Floats& best, Integers& best_move) const {
    const Floats m = multiplier * (1 + change * (0.375f * change - 0.5f));
    const Floats gain = cost - m * (m * moved_p - 2 * moved_w);
    const Integers better = allowed & (gain > best);
    best = better ? gain : best;
    best_move = better ? Integers{} + move : best_move;
  }

  Integers accept(const Integers& move, const Floats* to_sign) {
    const Integers tried = move >= 0, from = move / D, to = move & (D - 1);
    if (!any(tried)) return tried;
    const GuidedLanes before = *this;
    for (int i = 0; i < D; ++i) {
      const Floats sign = p[i] > 0 ? Floats{} - 1 : Floats{} + 1;
      Floats step = tried & (from == i) ? sign : Floats{};
      step += tried & (to == i) ? (from == i ? sign : to_sign[i]) : Floats{};
      if (!any(step != 0)) continue;
      p[i] += step;
      for (int k = 0; k < D; ++k) Mp[k] += step * group.metric[i * D + k];
    }
    price();
    const Integers kept = tried & (cost < before.cost - move_gain * (before.cost < 0 ? -before.cost : before.cost));
    keep(kept, before);
    return kept;
  }

  // Goes back to the point before in every lane that is not in the mask.
  void keep(const Integers& kept, const GuidedLanes& before) {
    for (int i = 0; i < D; ++i) {
      p[i] = kept ? p[i] : before.p[i];
      Mp[i] = kept ? Mp[i] : before.Mp[i];
    }
    wMp = kept ? wMp : before.wMp;
    pMp = kept ? pMp : before.pMp;
    n = kept ? n : before.n;
    level = kept ? level : before.level;
    level_index = kept ? level_index : before.level_index;
    multiplier = kept ? multiplier : before.multiplier;
    cost = kept ? cost : before.cost;
  }
};

}  // namespace
}  // namespace pyramidion
