// The search of core/pvq/barnes_wall_search.h on many groups at once, one group a lane: the same operations in the same
// order, so that the points are the same bit for bit. Everything is in units of two.
//
// Included by one source file an instruction set, each of which defines PYRAMIDION_LANES first.
#pragma once

#include "core/pvq/barnes_wall_search.h"
#include "core/pvq/reed_muller.h"
#include "cpu/pvq_search/pulse_lanes.h"

namespace pyramidion {
namespace {

inline Floats half_odd(const Floats& a) {
  return __builtin_convertvector(__builtin_convertvector(a, Integers), Floats) + 0.5f;
}

inline void hadamard(Floats* value) {
  for (int span = 1; span < 16; span *= 2) {
    for (int i = 0; i < 16; ++i) {
      if ((i & span) != 0) continue;
      const Floats low = value[i], high = value[i + span];
      value[i] = low + high;
      value[i + span] = low - high;
    }
  }
}

// A group of every lane, y in units of two, and what each word costs it.
class BarnesWallGroups {
 public:
  // A point of one word, a word a lane, and the coordinate whose sign is not that of the group, or -1.
  struct Candidate {
    Groups<16> group;
    Integers flip;

    // The other's point, in every lane of the mask.
    void take(const Candidate& other, const Integers& mask) {
      group.take(other.group, mask);
      flip = mask ? other.flip : flip;
    }

    Floats coordinate(int i, const Floats& y) const {
      const Integers negative = (y < 0) ^ (flip == i);
      return negative ? -group.q[i] : group.q[i];
    }
  };

  // weights: 16, of the squared distances that score words.
  BarnesWallGroups(const Floats* y, const float* weights, int pulses)
      : parity_(Integers{} - pulses / 2 % 2), pulses_(static_cast<float>(pulses) / 2) {
    for (int i = 0; i < 16; ++i) {
      negative_[i] = y[i] < 0;
      a_[i] = negative_[i] ? -y[i] : y[i];
    }
    score_words(weights, pulses);
  }

  // The best word not given yet, rounded and corrected.
  Candidate next() {
    Integers best = {};
    Floats best_score = score_[0];
    for (int word = 1; word < reed_muller_words; ++word) {
      const Integers better = score_[word] < best_score;
      best = better ? Integers{} + word : best;
      best_score = better ? score_[word] : best_score;
    }
    for (int word = 0; word < reed_muller_words; ++word) {
      score_[word] = best == word ? Floats{} + barnes_wall_no_score : score_[word];
    }
    return round(best);
  }

 private:
  // Masks, all ones where bit i of a lane's word is set.
  static Integers odd_mask(const Integers& word, int i) {
    // Bit m of 0x6996 is the parity of m.
    return -(((Integers{} + 0x6996) >> (word >> 1 & i) ^ word) & 1);
  }

  Candidate round(const Integers& word) const {
    Candidate candidate;
    Integers odd[16], wrong = parity_;
    for (int i = 0; i < 16; ++i) {
      odd[i] = odd_mask(word, i);
      wrong ^= odd[i] & negative_[i];
    }
    candidate.flip = Integers{} - 1;
    Floats least = {};
    for (int i = 0; i < 16; ++i) {
      const Integers smaller = wrong & odd[i] & ((candidate.flip < 0) | (a_[i] < least));
      candidate.flip = smaller ? Integers{} + i : candidate.flip;
      least = smaller ? a_[i] : least;
    }
    for (int i = 0; i < 16; ++i) {
      const Integers here = candidate.flip == i;
      const Floats rounded = odd[i] ? half_odd(a_[i]) : whole(a_[i]);
      candidate.group.place(i, here ? -a_[i] : a_[i], here ? Floats{} + 0.5f : rounded);
    }
    candidate.group.correct(pulses_);
    return candidate;
  }

  void score_words(const float* weights, int pulses) {
    Floats distance[16], steps[16], flip_cost[16], all_whole = {}, whole_pulses = {};
    for (int i = 0; i < 16; ++i) {
      const Floats even = whole(a_[i]), odd = half_odd(a_[i]);
      const Floats even_distance = (a_[i] - even) * (a_[i] - even), odd_distance = (a_[i] - odd) * (a_[i] - odd);
      distance[i] = weights[i] * (odd_distance - even_distance);
      steps[i] = odd - even;
      flip_cost[i] = weights[i] * ((a_[i] + 0.5f) * (a_[i] + 0.5f) - odd_distance);
      all_whole += weights[i] * even_distance;
      whole_pulses += even;
    }
    hadamard(distance);
    hadamard(steps);
    for (int word = 0; word < reed_muller_words; ++word) {
      const int a = word / 2;
      const float sign = word % 2 == 0 ? -0.5f : 0.5f;
      const Floats excess = whole_pulses - pulses_ + (0.5f * steps[0] + sign * steps[a]);
      score_[word] = all_whole + (0.5f * distance[0] + sign * distance[a]) +
                     barnes_wall_correction_cost * (excess * excess) + parity_cost(word, flip_cost);
    }
    if (pulses < 16) score_[1] = Floats{} + barnes_wall_no_score;
  }

  Floats parity_cost(int word, const Floats* flip_cost) const {
    Integers wrong = parity_;
    Floats least = Floats{} + barnes_wall_no_score;
    for (int i = 0; i < 16; ++i) {
      if ((reed_muller.word[word] >> i & 1) == 0) continue;
      wrong ^= negative_[i];
      least = flip_cost[i] < least ? flip_cost[i] : least;
    }
    return wrong ? least : Floats{};
  }

  // All ones where K/2 is odd.
  Integers parity_;
  float pulses_;
  Integers negative_[16];
  Floats a_[16], score_[reed_muller_words];
};

constexpr float equal_weights[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

// y: w on the pyramid's scale.
inline void scale_to_barnes_wall(const Floats* w, int pulses, Floats* y) {
  scale_magnitudes<16>(w, static_cast<float>(pulses) / 2, y);
  for (int i = 0; i < 16; ++i) y[i] = w[i] < 0 ? -y[i] : y[i];
}

// w: a group a lane; the point of each, as floats.
[[maybe_unused]] void search_barnes_wall(const Floats* w, int pulses, Floats* point) {
  Floats y[16];
  scale_to_barnes_wall(w, pulses, y);
  BarnesWallGroups groups(y, equal_weights, pulses);
  BarnesWallGroups::Candidate best = groups.next();
  const int candidates = pulses < 16 ? barnes_wall_candidates_below_16 : barnes_wall_candidates;
  for (int candidate = 1; candidate < candidates; ++candidate) {
    const BarnesWallGroups::Candidate found = groups.next();
    const Groups<16>&a = found.group, &b = best.group;
    const Integers better = (a.E * a.n - a.h * a.h) * b.n < (b.E * b.n - b.h * b.h) * a.n;
    best.take(found, better);
  }
  best.group.swap_pulses();
  for (int i = 0; i < 16; ++i) point[i] = 2 * best.coordinate(i, y[i]);
}

}  // namespace
}  // namespace pyramidion
