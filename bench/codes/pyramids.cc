// Relative squared error on N(0,1) of gain-shape codes on pyramids: w ~ level * y / ||y||, y = v(x), x a point of a lattice with
// sum c(|x_i|) = K.
//
//   lattice  plain: Z^D.  e8, barnes-wall: x mod 2 all 0 or all 1, or in the Reed-Muller code RM(1,4), and sum x = 0 mod 4.
//            odd: D = 8, x all even or all odd, sum |x| = 2K (twice the pulses: no condition on the sum).
//            leech: D = 24, x = m + 2 g mod 4 with m = 0 or 1 everywhere and g in the Golay code, and sum x = 4 m mod 8.
//   cost     c(m) = m with slope 1, and one more from each of the bends on: the pyramid's corners cut off.
//   value    v(m) = m^power.
//   levels   uniform: L levels share one K.  own: each level has a K of its own, with the same sum of counts.
//
//   g++ -O3 -march=native -ffast-math -std=c++17 -o pyramids pyramids.cc
//   ./pyramids LATTICE D [bends=M,M] [power=P] [bits=2,2.5,3,3.25,4] [groups=32768] [words=4] [step=0.06] [seed=1]
#include <algorithm>
#include <cstring>
#include <map>

#include "search.h"
#include "source.h"

namespace {

using Count = long double;
constexpr size_t kPlanGroups = 4096;

/** Number of points for every total cost. */
std::vector<Count> countPoints(const Lattice& lattice, const Shape& shape) {
  std::vector<Count> total(kMaxCost + 1, 0);
  std::map<std::pair<int, int>, std::vector<Count>> ofKind;  // only the base and the number of bits matter
  for (const Word& word : lattice.words) {
    auto& counts = ofKind[{word.base, __builtin_popcount(word.bits)}];
    if (counts.empty()) {
      std::vector<Count> now[2] = {std::vector<Count>(kMaxCost + 1, 0), std::vector<Count>(kMaxCost + 1, 0)};
      now[0][0] = 1;
      for (int i = 0; i < lattice.dimension; i++) {
        std::vector<Count> next[2] = {std::vector<Count>(kMaxCost + 1, 0), std::vector<Count>(kMaxCost + 1, 0)};
        const int residue = lattice.residue(word, i);
        for (int x = residue - kMaxMagnitude; x <= kMaxMagnitude; x += lattice.step) {
          int cost = shape.cost[std::abs(x)], parity = lattice.parity ? ((x - residue) / lattice.step) & 1 : 0;
          for (int b = cost; b <= kMaxCost; b++) {
            next[parity][b] += now[0][b - cost];
            next[parity ^ 1][b] += now[1][b - cost];
          }
        }
        now[0].swap(next[0]);
        now[1].swap(next[1]);
      }
      counts = now[word.parity];
    }
    for (int b = 0; b <= kMaxCost; b++) total[b] += counts[b];
  }
  return total;
}

/** Levels (shell, radius) for measured projections: gains[shell][group]. */
class Levels {
 public:
  Levels(const std::vector<std::vector<float>>& gains, const std::vector<Count>& counts, double energy)
      : gains_(gains), counts_(counts), energy_(energy) {}

  std::vector<int> shells;
  std::vector<double> radii;
  double error = 1e9;

  void share(int shell, int levels) {
    shells.assign(levels, shell);
    std::vector<float> sorted = gains_[shell];
    std::sort(sorted.begin(), sorted.end());
    radii.resize(levels);
    for (int l = 0; l < levels; l++) radii[l] = sorted[static_cast<size_t>((l + 0.5) / levels * sorted.size())];
    refine(30);
  }

  /** Lloyd and Max, each group free to take the level with the least error. */
  void refine(int rounds) {
    size_t groups = gains_[0].size(), levels = shells.size();
    for (int round = 0; round < rounds; round++) {
      std::vector<double> sum(levels, 0), number(levels, 0);
      double captured = 0;
      for (size_t i = 0; i < groups; i++) {
        double best = -1e30;
        size_t at = 0;
        for (size_t l = 0; l < levels; l++) {
          double value = radii[l] * (2 * gains_[shells[l]][i] - radii[l]);
          if (value > best) best = value, at = l;
        }
        captured += best;
        sum[at] += gains_[shells[at]][i];
        number[at]++;
      }
      error = (energy_ - captured) / energy_;
      for (size_t l = 0; l < levels; l++) {
        if (number[l] > 0) radii[l] = sum[l] / number[l];
      }
      probabilities_ = number;
    }
  }

  void take(const Levels& other) {
    shells = other.shells;
    radii = other.radii;
    error = other.error;
  }

  Count used() const {
    Count total = 0;
    for (int shell : shells) total += counts_[shell];
    return total;
  }

  /** Gives every level its own shell: N_l in proportion to (P_l r_l^2)^((D-1)/(D+1)), then exchanges while they help. */
  void spread(Count budget, int dimension) {
    size_t levels = shells.size();
    double scale = 1e-6;
    std::vector<int> start = shells;
    for (; scale < 1e6; scale *= 1.02) {
      std::vector<int> trial(levels);
      Count total = 0;
      for (size_t l = 0; l < levels; l++) {
        double wanted = scale * std::pow(std::max(probabilities_[l], 1.0) * radii[l] * radii[l], (dimension - 1.0) / (dimension + 1));
        int shell = 0;
        while (shell + 1 < static_cast<int>(counts_.size()) && static_cast<double>(counts_[shell + 1] / counts_[start[0]]) <= wanted) shell++;
        trial[l] = shell;
        total += counts_[shell];
      }
      if (total > budget) break;
      shells = trial;
    }
    refine(20);
    bool improved = true;
    for (int pass = 0; pass < 8 && improved; pass++) {
      improved = false;
      for (size_t up = 0; up < levels; up++) {
        for (size_t down = 0; down < levels; down++) improved |= exchange(up, down, budget);
      }
    }
    refine(30);
  }

 private:
  bool exchange(size_t up, size_t down, Count budget) {
    if (shells[up] + 1 >= static_cast<int>(counts_.size())) return false;
    std::vector<int> oldShells = shells;
    std::vector<double> oldRadii = radii;
    double oldError = error;
    shells[up]++;
    while (used() > budget && down != up && shells[down] > 0) shells[down]--;
    if (used() <= budget) {
      refine(3);
      if (error < oldError * (1 - 1e-5)) return true;
    }
    shells = oldShells;
    radii = oldRadii;
    error = oldError;
    return false;
  }

  const std::vector<std::vector<float>>& gains_;
  const std::vector<Count>& counts_;
  double energy_;
  std::vector<double> probabilities_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: pyramids LATTICE D [name=value ...]\n"), 1;
  std::map<std::string, std::string> given;
  for (int i = 3; i < argc; i++) {
    const char* equals = std::strchr(argv[i], '=');
    if (!equals) return std::fprintf(stderr, "not name=value: %s\n", argv[i]), 1;
    given[std::string(argv[i], static_cast<size_t>(equals - argv[i]))] = equals + 1;
  }
  auto number = [&](const char* name, double otherwise) { return given.count(name) ? std::atof(given[name].c_str()) : otherwise; };
  Lattice lattice = makeLattice(argv[1], std::atoi(argv[2]));
  int D = lattice.dimension;
  Shape shape = makeShape(numbers(given["bends"]), number("power", 1));
  std::vector<Count> counts = countPoints(lattice, shape);
  size_t groups = static_cast<size_t>(number("groups", 32768));
  std::vector<float> w = gaussians(groups * D, static_cast<uint64_t>(number("seed", 1)));
  double energy = 0;
  for (float x : w) energy += static_cast<double>(x) * x;

  for (double bits : numbers(given.count("bits") ? given["bits"] : "2,2.5,3,3.25,4")) {
    Count budget = std::pow(static_cast<Count>(2), bits * D);
    std::vector<int> costs;
    for (int K = 1; K <= kMaxCost; K++) {
      if (counts[K] <= budget && counts[K] * 200 > budget) costs.push_back(K);
    }
    int lowest = costs.front(), highest = costs.back();
    std::sort(costs.begin(), costs.end(), [&](int a, int b) { return counts[a] < counts[b]; });
    Search search(lattice, shape, lowest, highest, static_cast<int>(number("words", 4)), number("step", 0.06));
    std::vector<std::vector<float>> gains(costs.size(), std::vector<float>(groups));
    std::vector<float> all(highest - lowest + 1);
    for (size_t i = 0; i < groups; i++) {
      search.run(&w[i * D], all.data());
      for (size_t s = 0; s < costs.size(); s++) gains[s][i] = all[costs[s] - lowest];
    }
    std::vector<Count> shellCounts;
    for (int K : costs) shellCounts.push_back(counts[K]);

    // Plans are made on the first groups and measured on all.
    std::vector<std::vector<float>> sample;
    for (const auto& shell : gains) sample.emplace_back(shell.begin(), shell.begin() + std::min<size_t>(groups, kPlanGroups));
    double sampleEnergy = 0;
    for (size_t i = 0; i < sample[0].size() * D; i++) sampleEnergy += static_cast<double>(w[i]) * w[i];
    auto largestShell = [&](int levels) {
      int shell = -1;
      for (size_t s = 0; s < costs.size(); s++) {
        if (shellCounts[s] * levels <= budget && (shell < 0 || shellCounts[s] > shellCounts[shell])) shell = static_cast<int>(s);
      }
      return shell;
    };
    auto measure = [&](const Levels& plan, Levels& measured) {
      measured.shells = plan.shells;
      measured.radii = plan.radii;
      measured.refine(15);
    };

    Levels planned(sample, shellCounts, sampleEnergy);
    for (int L = 1; L <= 24 && largestShell(L) >= 0; L++) {
      Levels trial(sample, shellCounts, sampleEnergy);
      trial.share(largestShell(L), L);
      if (trial.error < planned.error) planned.take(trial);
    }
    int shared = static_cast<int>(planned.shells.size());
    Levels best(gains, shellCounts, energy);
    measure(planned, best);
    std::printf("%s D=%d bits=%.2f uniform  error=%.5f loss=%.3f  K=%d L=%zu\n", argv[1], D, bits, best.error, lossInBits(bits, best.error),
                costs[best.shells[0]], best.shells.size());
    std::fflush(stdout);

    planned.error = 1e9;
    for (int L = shared; L <= shared + 3 && largestShell(L) >= 0; L++) {
      Levels trial(sample, shellCounts, sampleEnergy);
      trial.share(largestShell(L), L);
      trial.spread(budget, D);
      if (trial.error < planned.error) planned.take(trial);
    }
    Levels own(gains, shellCounts, energy);
    measure(planned, own);
    std::printf("%s D=%d bits=%.2f own K    error=%.5f loss=%.3f  levels", argv[1], D, bits, own.error, lossInBits(bits, own.error));
    for (size_t l = 0; l < own.shells.size(); l++) std::printf(" %d:%.3f", costs[own.shells[l]], own.radii[l]);
    std::printf("  used %.4f of the codes\n", static_cast<double>(own.used() / budget));
    std::fflush(stdout);
  }
}
