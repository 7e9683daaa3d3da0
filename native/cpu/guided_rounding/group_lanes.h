// The search inside a group that calibrated rounding prices with the group's metric, a row of the matrix a lane.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once
#include "cpu/guided_rounding/dispatch.h"
#include "cpu/guided_rounding/float_lanes.h"
#include "cpu/pvq_search/lanes.h"

namespace pyramidion {
namespace {

// A move must lower the error by this share of it, so that rounding noise cannot make moves go in circles.
constexpr float move_gain = 1e-6f;

// Words of the Barnes-Wall lattice that a sweep tries beside the one it has.
constexpr int other_words = 4;

// A group of every row: targets w, points p, and what pricing a move needs. With M the group's metric, level g and row
// scale s, the error of q = m p, m = s g / ||p||, is  w'Mw + m^2 p'Mp - 2 m w'Mp; the first term never changes.
//
// Points of the Barnes-Wall lattice are in units of two, so that its moves are of one pulse like those of Z^D, and the
// coordinates of one are whole or half an odd number (core/pvq/barnes_wall_search.h).
template <int D, Lattice L>
struct GuidedLanes {
  static constexpr float unit_of_points = L == Lattice::barnes_wall ? 2 : 1;

  const GuidedGroup* group;
  Floats scale;
  Floats Mw[D], p[D], Mp[D];
  Floats wMp, pMp, n, level, multiplier, cost;
  Integers level_index;

  // w: the values to come close to.
  void aim_at(const GuidedGroup& of, const Floats* w, const Floats& row_scale) {
    group = &of;
    scale = row_scale;
    multiply_metric(w, Mw);
  }

  // One lane becomes that of another, of the same group.
  void copy_lane(int lane, const GuidedLanes& other, int from) {
    group = other.group;
    const auto copy = [=](auto& to, const auto& of) { to[lane] = of[from]; };
    for (int i = 0; i < D; ++i) {
      copy(Mw[i], other.Mw[i]);
      copy(p[i], other.p[i]);
      copy(Mp[i], other.Mp[i]);
    }
    copy(scale, other.scale);
    copy(wMp, other.wMp);
    copy(pMp, other.pMp);
    copy(n, other.n);
    copy(level, other.level);
    copy(multiplier, other.multiplier);
    copy(cost, other.cost);
    copy(level_index, other.level_index);
  }

  // The point that the Euclidean search ends with, or where moves follow, which take the place of its own, that it
  // begins with.
  void start_at_search(const Floats* w, bool moves_follow) {
    if constexpr (L == Lattice::barnes_wall) {
      start_at_best_word(w);
    } else {
      const float pulses = static_cast<float>(group->pyramid.pulses);
      Floats magnitudes[D];
      scale_magnitudes<D>(w, pulses, magnitudes);
      Groups<D> search;
      for (int i = 0; i < D; ++i) search.place(i, magnitudes[i], whole(magnitudes[i]));
      search.correct(pulses);
      if (!moves_follow) search.swap_pulses();
      for (int i = 0; i < D; ++i) p[i] = w[i] < 0 ? -search.q[i] : search.q[i];
      multiply_metric(p, Mp);
      price();
    }
  }

  // points: D x lanes.
  void start_at(const int16_t* points) {
    for (int i = 0; i < D; ++i)
      p[i] = __builtin_convertvector(load_shorts(points + i * lanes), Floats) / unit_of_points;
    multiply_metric(p, Mp);
    price();
  }

  void multiply_metric(const Floats* v, Floats* product) const {
    for (int i = 0; i < D; ++i) {
      Floats sum = {};
      for (int j = 0; j < D; ++j) sum = multiply_add(v[j], group->metric[i * D + j], sum);
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
    level = Floats{} + group->levels[0];
    level_index = Integers{};
    for (size_t l = 1; l < group->level_count; ++l) {
      const Integers above = wanted > per_level * (group->levels[l - 1] + group->levels[l]);
      level = above ? Floats{} + group->levels[l] : level;
      level_index = above ? Integers{} + static_cast<int32_t>(l) : level_index;
    }
    multiplier = level * unit;
    cost = multiplier * (multiplier * pMp - 2 * wMp);
  }

  // Moves change no residues. Points with others are looked for near the point at hand, by a model of the cost without
  // what couples coordinates: coordinate i would like to be at y_i, at the price of M_ii times the square of its
  // distance.
  void try_other_words() {
    const float most = static_cast<float>(group->pyramid.pulses) / 2;
    Floats y[D];
    float weights[D];
    for (int i = 0; i < D; ++i) {
      weights[i] = group->metric[i * D + i];
      y[i] = p[i] + (Mw[i] - multiplier * Mp[i]) / (multiplier * weights[i]);
      // Also where the level is zero and y no number.
      y[i] = y[i] < most ? y[i] : Floats{} + most;
      y[i] = y[i] > -most ? y[i] : Floats{} - most;
    }
    BarnesWallGroups groups(y, weights, group->pyramid.pulses);
    for (int candidate = 0; candidate < other_words; ++candidate) try_candidate(groups.next(), y);
  }

  // Takes a pulse from one coordinate and gives it to another, in every lane of the mask where that helps; returns
  // those.
  Integers move_best_pulse(const Integers& mask) {
    Receivers to;
    for (int j = 0; j < D; ++j) {
      const Floats downhill = p[j] == 0 ? Mw[j] - multiplier * Mp[j] : p[j];
      to.sign[j] = downhill < 0 ? Floats{} - 1 : Floats{} + 1;
      to.twice_w[j] = 2 * (to.sign[j] * Mw[j]);
      to.p[j] = 2 * to.sign[j] * Mp[j] + group->metric[j * D + j];
      to.n[j] = 1 + 2 * to.sign[j] * p[j];
    }
    const Floats per_n = 1 / n;
    Floats best = {};
    Integers best_move = Integers{} - 1;
    const auto take = [&](const Donor& donor) {
      const Integers better = donor.best > best;
      best = better ? donor.best : best;
      best_move = better ? donor.best_move : best_move;
    };
    // Two coordinates at a time give, because comparisons with the best move so far wait for each other.
    for (int i = 0; i < D; i += 2) {
      const Integers movable = mask & (p[i] * p[i] >= 1), movable_next = mask & (p[i + 1] * p[i + 1] >= 1);
      if (!any(movable | movable_next)) continue;
      Donor one(*this, i, movable), two(*this, i + 1, movable_next);
      for (int j = 0; j < i; ++j) {
        one.consider_move(*this, to, j, per_n);
        two.consider_move(*this, to, j, per_n);
      }
      one.consider_move(*this, to, i + 1, per_n);
      two.consider_move(*this, to, i, per_n);
      for (int j = i + 2; j < D; ++j) {
        one.consider_move(*this, to, j, per_n);
        two.consider_move(*this, to, j, per_n);
      }
      one.consider_flip(*this);
      two.consider_flip(*this);
      take(one);
      take(two);
    }
    return accept(best_move, to.sign);
  }

 private:
  // What one pulse more at a coordinate, away from zero or downhill, adds to wMp (twice), pMp and n.
  struct Receivers {
    Floats sign[D], twice_w[D], p[D], n[D];
  };

  // A coordinate that loses a pulse, and the best of the moves that begin so.
  struct Donor {
    int i;
    const float* metric;
    Floats sign, twice_sign, twice_w, p, n, cost, best = {};
    Integers best_move = Integers{} - 1;

    // Where nothing may move the cost is so low that no move lowers it.
    Donor(const GuidedLanes& at, int coordinate, const Integers& movable)
        : i(coordinate), metric(at.group->metric + coordinate * D) {
      sign = at.p[i] > 0 ? Floats{} - 1 : Floats{} + 1;
      twice_sign = 2 * sign;
      twice_w = 2 * (at.wMp + sign * at.Mw[i]);
      p = at.pMp + twice_sign * at.Mp[i] + metric[i];
      n = 1 + twice_sign * at.p[i];
      cost = movable ? at.cost : Floats{} - __builtin_inff();
    }

    void consider_move(const GuidedLanes& at, const Receivers& to, int j, const Floats& per_n) {
      const Floats moved_p = add_exact_product(twice_sign * to.sign[j], metric[j], p + to.p[j]);
      consider(at, twice_w + to.twice_w[j], moved_p, (n + to.n[j]) * per_n, j);
    }

    // The last pulse of a coordinate may also change its sign.
    void consider_flip(const GuidedLanes& at) {
      const Integers flippable = at.p[i] * at.p[i] == 1;
      if (!any(flippable)) return;
      cost = flippable ? cost : Floats{} - __builtin_inff();
      const Floats moved_p = at.pMp + 4 * (sign * at.Mp[i] + metric[i]);
      consider(at, 2 * (at.wMp + twice_sign * at.Mw[i]), moved_p, Floats{}, i);
    }

    // Prices a move with the level kept and 1 / ||p|| to second order in the relative change of n; accept() is exact.
    void consider(const GuidedLanes& at, const Floats& twice_moved_w, const Floats& moved_p, const Floats& change,
                  int j) {
      const Floats m = at.multiplier * (1 + change * (0.375f * change - 0.5f));
      const Floats gain = cost - m * (m * moved_p - twice_moved_w);
      const Integers better = gain > best;
      best = better ? gain : best;
      best_move = better ? Integers{} + (i * D + j) : best_move;
    }
  };

  // Of the words that the Euclidean search prefers, the one whose point costs least.
  void start_at_best_word(const Floats* w) {
    Floats y[D];
    scale_to_barnes_wall(w, group->pyramid.pulses, y);
    BarnesWallGroups groups(y, equal_weights, group->pyramid.pulses);
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
      for (int k = 0; k < D; ++k) Mp[k] += step * group->metric[i * D + k];
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
