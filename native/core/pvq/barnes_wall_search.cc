#include "core/pvq/barnes_wall_search.h"

#include "core/pvq/pulse_group.h"
#include "core/pvq/reed_muller.h"

namespace pyramidion {
namespace {

constexpr int dimension = 16;

bool is_odd(int word, int i) { return (reed_muller.word[word] >> i & 1) != 0; }
float whole(float a) { return static_cast<float>(static_cast<int32_t>(a + 0.5f)); }
float half_odd(float a) { return static_cast<float>(static_cast<int32_t>(a)) + 0.5f; }
float square(float x) { return x * x; }

// value[a] = sum_i (-1)^parity(a & i) value[i].
void hadamard(float* value) {
  for (int span = 1; span < dimension; span *= 2) {
    for (int i = 0; i < dimension; ++i) {
      if ((i & span) != 0) continue;
      const float low = value[i], high = value[i + span];
      value[i] = low + high;
      value[i + span] = low - high;
    }
  }
}

// A group in units of two: its magnitudes a, the signs it has, and what each word costs.
class BarnesWallGroup {
 public:
  BarnesWallGroup(const float* w, int pulses) : parity_(pulses / 2 % 2), pulses_(static_cast<float>(pulses) / 2) {
    scale_magnitudes(w, dimension, pulses_, a_);
    for (int i = 0; i < dimension; ++i) negative_ |= static_cast<uint32_t>(w[i] < 0 && a_[i] > 0 ? 1 : 0) << i;
    score_words(pulses);
  }

  // The word with the lowest score, which will not be given again.
  int next_word() {
    int best = 0;
    for (int word = 1; word < reed_muller_words; ++word) best = score_[word] < score_[best] ? word : best;
    score_[best] = barnes_wall_no_score;
    return best;
  }

  // The coordinate of a word that gets the sign w does not have, or -1.
  int flipped(int word) const {
    if (__builtin_popcount(negative_ & reed_muller.word[word]) % 2 == parity_) return -1;
    int smallest = -1;
    for (int i = 0; i < dimension; ++i) {
      if (is_odd(word, i) && (smallest < 0 || a_[i] < a_[smallest])) smallest = i;
    }
    return smallest;
  }

  // The word's point, in units of two, by rounding and correction.
  PulseGroup round(int word) const {
    PulseGroup group;
    group.dimension = dimension;
    const int flip = flipped(word);
    for (int i = 0; i < dimension; ++i) {
      if (i == flip) {
        group.place(i, -a_[i], 0.5f);
      } else {
        group.place(i, a_[i], is_odd(word, i) ? half_odd(a_[i]) : whole(a_[i]));
      }
    }
    group.correct(pulses_);
    return group;
  }

  void write(const PulseGroup& group, int word, int16_t* point) const {
    const int flip = flipped(word);
    for (int i = 0; i < dimension; ++i) {
      const int16_t x = static_cast<int16_t>(2 * group.q[i]);
      point[i] = (negative_ >> i & 1) != (i == flip ? 1u : 0u) ? static_cast<int16_t>(-x) : x;
    }
  }

 private:
  void score_words(int pulses) {
    float distance[dimension], steps[dimension], flip_cost[dimension], all_whole = 0, whole_pulses = 0;
    for (int i = 0; i < dimension; ++i) {
      const float even = whole(a_[i]), odd = half_odd(a_[i]);
      const float even_distance = square(a_[i] - even), odd_distance = square(a_[i] - odd);
      distance[i] = odd_distance - even_distance;
      steps[i] = odd - even;
      // Grows with a, so that the least of a word is that of its smallest coordinate.
      flip_cost[i] = square(a_[i] + 0.5f) - odd_distance;
      all_whole += even_distance;
      whole_pulses += even;
    }
    // The sum over the ones of word 2a + b is (S_0 - S_a) / 2 or, for b = 1, (S_0 + S_a) / 2, S the transform.
    hadamard(distance);
    hadamard(steps);
    for (int word = 0; word < reed_muller_words; ++word) {
      const int a = word / 2;
      const float sign = word % 2 == 0 ? -0.5f : 0.5f;
      const float excess = whole_pulses - pulses_ + (0.5f * steps[0] + sign * steps[a]);
      score_[word] = all_whole + (0.5f * distance[0] + sign * distance[a]) +
                     barnes_wall_correction_cost * (excess * excess) + parity_cost(word, flip_cost);
    }
    // Sixteen odd coordinates have at least sixteen pulses.
    if (pulses < dimension) score_[1] = barnes_wall_no_score;
  }

  // Word 0 has nothing to flip: with K/2 odd it is none of the pyramid's.
  float parity_cost(int word, const float* flip_cost) const {
    if (__builtin_popcount(negative_ & reed_muller.word[word]) % 2 == parity_) return 0;
    float least = barnes_wall_no_score;
    for (int i = 0; i < dimension; ++i) {
      if (is_odd(word, i) && flip_cost[i] < least) least = flip_cost[i];
    }
    return least;
  }

  int parity_;
  float pulses_;
  uint32_t negative_ = 0;
  float a_[dimension], score_[reed_muller_words];
};

}  // namespace

void search_barnes_wall(const float* w, int pulses, int16_t* point) {
  BarnesWallGroup group(w, pulses);
  int best_word = group.next_word();
  PulseGroup best = group.round(best_word);
  const int candidates = pulses < dimension ? barnes_wall_candidates_below_16 : barnes_wall_candidates;
  for (int candidate = 1; candidate < candidates; ++candidate) {
    const int word = group.next_word();
    const PulseGroup found = group.round(word);
    if ((found.E * found.n - found.h * found.h) * best.n < (best.E * best.n - best.h * best.h) * found.n) {
      best = found;
      best_word = word;
    }
  }
  best.swap_pulses();
  group.write(best, best_word, point);
}

}  // namespace pyramidion
