// The best direction on every pyramid of a lattice at once, exact but for its grid of scales.
//
// For each scale t, dynamic programming over (coordinate, cost so far, parity) minimises
// ||t w - y||^2 for every K at once; the best direction for K is found at t = ||y||^2 / <w, y>, because <w, y>^2 / ||y||^2 is convex in
// (<w, y>, ||y||^2).
#pragma once
#include "lattice.h"

class Search {
 public:
  Search(const Lattice& lattice, const Shape& shape, int lowest, int highest, int keptWords, double step)
      : lattice_(lattice), shape_(shape), lowest_(lowest), highest_(highest), keptWords_(keptWords), step_(step) {}

  /** gains[K - lowest] = the largest <w, y> / ||y|| over the shell K, and points[(K - lowest) D ...] where it is reached unless null. */
  void run(const float* w, float* gains, int* points = nullptr) {
    std::fill(gains, gains + highest_ - lowest_ + 1, 0.0f);
    w_ = w;
    points_ = points;
    double from = scaleOf(w, lowest_) * 0.93, to = scaleOf(w, highest_) * 1.07;
    for (double t = from; t <= to; t *= 1 + step_) {
      for (int i = 0; i < lattice_.dimension; i++) {
        for (int residue = 0; residue < lattice_.step; residue++) nearest(i, residue, t);
      }
      for (const Word& word : bestWords()) points ? program<true>(word, t, gains) : program<false>(word, t, gains);
    }
  }

 private:
  struct Option {
    int x, cost, parity;
    float f, norm;  // norm - 2 t <w, y>, norm = ||y||^2
  };

  double costAt(const float* w, double t) const {
    double cost = 0;
    for (int i = 0; i < lattice_.dimension; i++) {
      double m = inverse(t * std::fabs(w[i]));
      int floor = std::min(static_cast<int>(m), kMaxMagnitude - 1);
      cost += shape_.cost[floor] + (m - floor) * (shape_.cost[floor + 1] - shape_.cost[floor]);
    }
    return cost;
  }

  double scaleOf(const float* w, int cost) const {
    double low = 1e-3, high = 300;
    for (int i = 0; i < 30; i++) (costAt(w, std::sqrt(low * high)) < cost ? low : high) = std::sqrt(low * high);
    return low;
  }

  /** The magnitude, not whole, whose value is v. */
  double inverse(double v) const {
    int low = static_cast<int>(std::upper_bound(shape_.value, shape_.value + kMaxMagnitude - 2, static_cast<float>(v)) - shape_.value) - 1;
    return low + (v - shape_.value[low]) / (shape_.value[low + 1] - shape_.value[low]);
  }

  /** The four values of the class nearest to t w_i. */
  void nearest(int i, int residue, double t) {
    double target = t * w_[i], m = target < 0 ? -inverse(-target) : inverse(target);
    int first = lattice_.step * (static_cast<int>(std::floor((m - residue) / lattice_.step)) - 1) + residue;
    float best = 1e30f;
    for (int o = 0; o < 4; o++) {
      int x = first + o * lattice_.step;
      float y = x < 0 ? -shape_.value[-x] : shape_.value[x];
      Option& option = option_[i][residue][o];
      option.x = x;
      option.cost = shape_.cost[std::abs(x)];
      option.parity = lattice_.parity ? ((x - residue) / lattice_.step) & 1 : 0;
      option.norm = y * y;
      option.f = static_cast<float>(y * y - 2 * target * y);
      best = std::min(best, option.f);
    }
    unbound_[i][residue] = best;
  }

  /** By the distance without the condition on the cost. Eight coordinates at a time are looked up. */
  const std::vector<Word>& bestWords() {
    if (lattice_.words.size() <= static_cast<size_t>(keptWords_)) return lattice_.words;
    const int eights = lattice_.dimension / 8;
    for (int base = 0; base <= lattice_.step / 4; base++) {
      for (int e = 0; e < eights; e++) {
        float* table = eight_[base][e];
        table[0] = 0;
        for (int i = 0; i < 8; i++) table[0] += unbound_[8 * e + i][base];
        for (int bits = 1; bits < 256; bits++) {
          int i = 8 * e + __builtin_ctz(static_cast<unsigned>(bits));
          table[bits] = table[bits & (bits - 1)] + unbound_[i][base + lattice_.step / 2] - unbound_[i][base];
        }
      }
    }
    ranked_.clear();
    for (size_t w = 0; w < lattice_.words.size(); w++) {
      const Word& word = lattice_.words[w];
      float f = 0;
      for (int e = 0; e < eights; e++) f += eight_[word.base][e][(word.bits >> (8 * e)) & 0xff];
      ranked_.push_back({f, w});
    }
    std::partial_sort(ranked_.begin(), ranked_.begin() + keptWords_, ranked_.end());
    kept_.clear();
    for (int r = 0; r < keptWords_; r++) kept_.push_back(lattice_.words[ranked_[static_cast<size_t>(r)].second]);
    return kept_;
  }

  template <bool keep>
  void program(const Word& word, double t, float* gains) {
    int length = highest_ + 1, parities = lattice_.parity ? 2 : 1;
    float(*f)[kMaxCost + 1] = f_[0], (*norm)[kMaxCost + 1] = norm_[0];
    float(*nextF)[kMaxCost + 1] = f_[1], (*nextNorm)[kMaxCost + 1] = norm_[1];
    for (int p = 0; p < parities; p++) {
      std::fill(f[p], f[p] + length, 1e30f);
      std::fill(norm[p], norm[p] + length, 1.0f);
    }
    f[0][0] = norm[0][0] = 0;
    for (int i = 0; i < lattice_.dimension; i++) {
      for (int p = 0; p < parities; p++) std::fill(nextF[p], nextF[p] + length, 1e30f);
      for (int o = 0; o < 4; o++) {
        const Option& option = option_[i][lattice_.residue(word, i)][o];
        for (int p = 0; p < parities; p++) {
          const float *fromF = f[p], *fromNorm = norm[p];
          float *toF = nextF[p ^ option.parity] + option.cost, *toNorm = nextNorm[p ^ option.parity] + option.cost;
          for (int b = 0; b < length - option.cost; b++) {
            float candidate = fromF[b] + option.f, candidateNorm = fromNorm[b] + option.norm;
            bool better = candidate < toF[b];
            toF[b] = better ? candidate : toF[b];
            toNorm[b] = better ? candidateNorm : toNorm[b];
            if (keep && better) choice_[i][p ^ option.parity][b + option.cost] = static_cast<uint8_t>(o);
          }
        }
      }
      std::swap(f, nextF);
      std::swap(norm, nextNorm);
    }
    for (int K = lowest_; K <= highest_; K++) {
      if (f[word.parity][K] > 1e29f) continue;
      float product = static_cast<float>((norm[word.parity][K] - f[word.parity][K]) / (2 * t));
      float gain = product / std::sqrt(norm[word.parity][K]);
      if (gain <= gains[K - lowest_]) continue;
      gains[K - lowest_] = gain;
      if (keep) trace(word, K, points_ + (K - lowest_) * lattice_.dimension);
    }
  }

  void trace(const Word& word, int K, int* point) const {
    for (int i = lattice_.dimension - 1, parity = word.parity; i >= 0; i--) {
      const Option& option = option_[i][lattice_.residue(word, i)][choice_[i][parity][K]];
      point[i] = option.x;
      K -= option.cost;
      parity ^= option.parity;
    }
  }

  const Lattice& lattice_;
  const Shape& shape_;
  int lowest_, highest_, keptWords_;
  double step_;
  const float* w_;
  int* points_;
  Option option_[32][4][4];
  float unbound_[32][4];
  float eight_[2][4][256];
  std::vector<std::pair<float, size_t>> ranked_;
  std::vector<Word> kept_;
  float f_[2][2][kMaxCost + 1], norm_[2][2][kMaxCost + 1];
  uint8_t choice_[32][2][kMaxCost + 1];
};
