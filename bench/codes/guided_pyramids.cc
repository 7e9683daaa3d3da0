// A layer rounded for its outputs with pyramids whose levels may have pulses of their own: the error relative to the outputs,
// E[|dW x|^2] / E[|W x|^2]. As the library does it: groups of D columns, error feedback with a search under each group's conditional Hessian, then
// sweeps of coordinate descent with the row scale refitted before each. A move adds one of the lattice's short vectors and may change the level.
//
//   g++ -O3 -march=native -ffast-math -std=c++17 -o guided_pyramids guided_pyramids.cc
//   ./guided_pyramids LATTICE D LAYER LEVELS [bends=M,M] [rows=128] [columns=576] [sweeps=4] [moves=16]
//
// LAYER: see layer.h; its width must be a multiple of D. LEVELS is K:radius,K:radius,... as pyramids prints them.
#include <map>

#include "layer.h"
#include "search.h"

namespace {

struct Level {
  int cost;
  double radius;
};

/** Vectors whose sum with a point is a point: the shortest, and for Z^D and twice Z^D sums of two as well. */
std::vector<std::vector<int>> shortVectors(const Lattice& lattice) {
  int D = lattice.dimension, step = lattice.step;
  std::vector<std::vector<int>> vectors;
  for (int i = 0; i < D; i++) {
    for (int a = -step; a <= step; a += 2 * step) {
      std::vector<int> v(D, 0);
      v[i] = a;
      if (!lattice.parity) vectors.push_back(v);
      for (int j = i + 1; j < D; j++) {
        for (int b = -step; b <= step; b += 2 * step) {
          v[j] = b;
          vectors.push_back(v);
          v[j] = 0;
        }
      }
    }
  }
  for (const Word& word : lattice.words) {
    if (__builtin_popcount(word.bits) != 8) continue;
    for (int signs = 0; signs < 256; signs++) {
      if (lattice.parity && __builtin_parity(signs)) continue;
      std::vector<int> v(D, 0);
      for (int i = 0, bit = 0; i < D; i++) {
        if ((word.bits >> i) & 1) v[i] = (signs >> bit++) & 1 ? -1 : 1;
      }
      vectors.push_back(v);
    }
  }
  return vectors;
}

struct Move {
  int length;
  int at[8];
  int step[8];
};

class Rounder {
 public:
  Rounder(const Lattice& lattice, const Shape& shape, const std::vector<Level>& levels)
      : D(lattice.dimension), shape_(shape), levels_(kMaxCost + 1), search_(lattice, shape, lowest(levels), highest(levels), 6, 0.02) {
    for (const Level& level : levels) levels_[level.cost].push_back(level.radius);
    low_ = lowest(levels);
    high_ = highest(levels);
    for (const auto& vector : shortVectors(lattice)) {
      Move move{};
      for (int i = 0; i < D; i++) {
        if (vector[i]) move.at[move.length] = i, move.step[move.length++] = vector[i];
      }
      moves_.push_back(move);
    }
    gains_.resize(high_ - low_ + 1);
    points_.resize(gains_.size() * D);
  }

  void setMetric(const Matrix& metric) {
    metric_.assign(metric.begin(), metric.end());
    lengths_.clear();
    for (const Move& move : moves_) {
      float sum = 0;
      for (int a = 0; a < move.length; a++) {
        for (int b = 0; b < move.length; b++) sum += metric_[move.at[a] * D + move.at[b]] * move.step[a] * move.step[b];
      }
      lengths_.push_back(sum);
    }
  }

  /** Rounds aim to scale * radius * p / ||p||. Starts afresh or at point. */
  double round(const float* aim, double scale, bool fresh, int moves, int* point) {
    multiply(aim, Mw_);
    scale_ = static_cast<float>(scale);
    if (fresh) {
      search_.run(aim, gains_.data(), points_.data());
      float best = 1e30f;
      int at = 0;
      for (int cost = low_; cost <= high_; cost++) {
        if (levels_[cost].empty() || gains_[cost - low_] == 0) continue;
        setPoint(&points_[(cost - low_) * D]);
        float price = priceOf(cost_, norm_, wMp_, pMp_);
        if (price < best) best = price, at = cost;
      }
      setPoint(&points_[(at - low_) * D]);
    } else {
      setPoint(point);
    }
    float price = priceOf(cost_, norm_, wMp_, pMp_);
    for (int step = 0; step < moves; step++) {
      size_t chosen = moves_.size();
      float best = price - 1e-6f * std::fabs(price);
      for (size_t m = 0; m < moves_.size(); m++) {
        const Move& move = moves_[m];
        int cost = cost_;
        float wMp = wMp_, pMp = pMp_ + lengths_[m], norm = norm_;
        for (int a = 0; a < move.length; a++) {
          int i = move.at[a], x = p_[i], y = x + move.step[a];
          cost += shape_.cost[std::abs(y)] - shape_.cost[std::abs(x)];
          wMp += move.step[a] * Mw_[i];
          pMp += 2 * move.step[a] * Mp_[i];
          norm += static_cast<float>(y * y - x * x);
        }
        if (cost < low_ || cost > high_ || levels_[cost].empty()) continue;
        float moved = priceOf(cost, norm, wMp, pMp);
        if (moved < best) best = moved, chosen = m;
      }
      if (chosen == moves_.size()) break;
      int next[32];
      std::copy(p_, p_ + D, next);
      for (int a = 0; a < moves_[chosen].length; a++) next[moves_[chosen].at[a]] += moves_[chosen].step[a];
      setPoint(next);
      price = priceOf(cost_, norm_, wMp_, pMp_);
    }
    std::copy(p_, p_ + D, point);
    priceOf(cost_, norm_, wMp_, pMp_);
    return multiplier_;
  }

 private:
  static int lowest(const std::vector<Level>& levels) {
    return std::min_element(levels.begin(), levels.end(), [](const Level& a, const Level& b) { return a.cost < b.cost; })->cost;
  }
  static int highest(const std::vector<Level>& levels) {
    return std::max_element(levels.begin(), levels.end(), [](const Level& a, const Level& b) { return a.cost < b.cost; })->cost;
  }

  template <class T>
  void multiply(const T* v, float* product) const {
    for (int i = 0; i < D; i++) {
      float sum = 0;
      for (int j = 0; j < D; j++) sum += metric_[i * D + j] * static_cast<float>(v[j]);
      product[i] = sum;
    }
  }

  void setPoint(const int* point) {
    std::copy(point, point + D, p_);
    multiply(p_, Mp_);
    cost_ = 0;
    norm_ = wMp_ = pMp_ = 0;
    for (int i = 0; i < D; i++) {
      cost_ += shape_.cost[std::abs(p_[i])];
      norm_ += static_cast<float>(p_[i] * p_[i]);
      wMp_ += p_[i] * Mw_[i];
      pMp_ += p_[i] * Mp_[i];
    }
  }

  float priceOf(int cost, float norm, float wMp, float pMp) {
    float unit = scale_ / std::sqrt(norm), best = 1e30f;
    for (double radius : levels_[cost]) {
      float m = static_cast<float>(radius) * unit, price = m * (m * pMp - 2 * wMp);
      if (price < best) best = price, multiplier_ = m;
    }
    return best;
  }

  int D;
  const Shape& shape_;
  std::vector<std::vector<double>> levels_;  // radii by cost
  Search search_;
  int low_, high_;
  std::vector<Move> moves_;
  std::vector<float> metric_, lengths_, gains_;
  std::vector<int> points_;
  int p_[32];
  float Mw_[32], Mp_[32];
  int cost_ = 0;
  float norm_ = 0, wMp_ = 0, pMp_ = 0, scale_ = 1;
  double multiplier_ = 0;
};

Matrix block(const Matrix& matrix, int n, int first, int D) {
  Matrix part(D * D);
  for (int i = 0; i < D; i++) {
    for (int j = 0; j < D; j++) part[i * D + j] = matrix[(first + i) * n + first + j];
  }
  return part;
}

/** Solves y A = b by Gauss and Jordan: returns A^-1. */
Matrix inverse(Matrix a, int D) {
  Matrix result(D * D, 0);
  for (int i = 0; i < D; i++) result[i * D + i] = 1;
  for (int k = 0; k < D; k++) {
    double pivot = a[k * D + k];
    for (int j = 0; j < D; j++) a[k * D + j] /= pivot, result[k * D + j] /= pivot;
    for (int i = 0; i < D; i++) {
      if (i == k) continue;
      double factor = a[i * D + k];
      for (int j = 0; j < D; j++) a[i * D + j] -= factor * a[k * D + j], result[i * D + j] -= factor * result[k * D + j];
    }
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return std::fprintf(stderr, "usage: guided_pyramids LATTICE D LAYER LEVELS [name=value ...]\n"), 1;
  std::map<std::string, std::string> given{{"bends", ""}, {"rows", "128"}, {"columns", "576"}, {"sweeps", "4"}, {"moves", "16"}};
  for (int i = 5; i < argc; i++) {
    std::string argument = argv[i];
    size_t equals = argument.find('=');
    if (equals == std::string::npos || !given.count(argument.substr(0, equals))) return std::fprintf(stderr, "unknown %s\n", argv[i]), 1;
    given[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  Lattice lattice = makeLattice(argv[1], std::atoi(argv[2]));
  Shape shape = makeShape(numbers(given["bends"]), 1);
  std::vector<Level> levels;
  for (const char* at = argv[4]; *at;) {
    char* end;
    Level level{static_cast<int>(std::strtol(at, &end, 10)), 0};
    level.radius = std::strtod(end + 1, &end);
    levels.push_back(level);
    at = *end == ',' ? end + 1 : end;
  }
  int D = lattice.dimension, moves = std::stoi(given["moves"]);
  Layer layer(argv[3], std::stoi(given["rows"]), std::stoi(given["columns"]));
  int rows = layer.rows, n = layer.n;
  Rounder rounder(lattice, shape, levels);

  // Everything column by column, as the layer.
  auto at = [rows](int column, int row) { return static_cast<size_t>(column) * rows + row; };
  std::vector<float> d(layer.w.size(), 0), sums(layer.w.size(), 0), scales(rows, 1.0f);
  std::vector<int> points(layer.w.size());
  for (int sweep = -1; sweep < std::stoi(given["sweeps"]); sweep++) {
    const Matrix& coupling = sweep < 0 ? layer.factor : layer.guide;
    for (int first = 0; first < n; first += D) {
      Matrix part = block(coupling, n, first, D);
      Matrix solve = inverse(part, D);
      Matrix metric = part;
      if (sweep < 0) {
        for (int i = 0; i < D; i++) {
          for (int j = 0; j < D; j++) {
            metric[i * D + j] = 0;
            for (int k = 0; k < D; k++) metric[i * D + j] += part[i * D + k] * part[j * D + k];
          }
        }
      }
      rounder.setMetric(metric);
      std::vector<float> changes(static_cast<size_t>(D) * rows);
      for (int row = 0; row < rows; row++) {
        float aim[32];
        for (int i = 0; i < D; i++) {
          double sum = layer.w[at(first + i, row)] - d[at(first + i, row)];
          for (int k = 0; k < D; k++) sum += sums[at(first + k, row)] * solve[k * D + i];
          aim[i] = static_cast<float>(sum);
        }
        int point[32];
        for (int i = 0; i < D; i++) point[i] = points[at(first + i, row)];
        double multiplier = rounder.round(aim, scales[row], sweep < 0, moves, point);
        for (int i = 0; i < D; i++) {
          points[at(first + i, row)] = point[i];
          float now = layer.w[at(first + i, row)] - static_cast<float>(multiplier * point[i]);
          changes[static_cast<size_t>(i) * rows + row] = now - d[at(first + i, row)];
          d[at(first + i, row)] = now;
        }
      }
      for (int f = sweep < 0 ? first : 0; f < n; f++) {
        for (int i = 0; i < D; i++) {
          float coefficient = static_cast<float>(coupling[static_cast<size_t>(first + i) * n + f]);
          for (int row = 0; row < rows; row++) sums[at(f, row)] += coefficient * changes[static_cast<size_t>(i) * rows + row];
        }
      }
    }
    std::printf("%s D=%d layer=%s %s error=%.5f\n", argv[1], D, argv[3], sweep < 0 ? "feedback" : "sweep   ", layer.error(d));
    std::fflush(stdout);
    // sums = d H, and for each row the scale that is best under the Hessian.
    std::vector<float> q(d.size()), qH(d.size(), 0);
    for (size_t i = 0; i < d.size(); i++) q[i] = layer.w[i] - d[i];
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int f = 0; f < n; f++) {
      for (int j = 0; j < n; j++) {
        float coefficient = static_cast<float>(layer.guide[static_cast<size_t>(j) * n + f]);
        for (int row = 0; row < rows; row++) {
          sums[at(f, row)] += coefficient * d[at(j, row)];
          qH[at(f, row)] += coefficient * q[at(j, row)];
        }
      }
    }
    for (int row = 0; row < rows; row++) {
      double dq = 0, qq = 0;
      for (int f = 0; f < n; f++) {
        dq += static_cast<double>(d[at(f, row)]) * qH[at(f, row)];
        qq += static_cast<double>(q[at(f, row)]) * qH[at(f, row)];
      }
      float factor = static_cast<float>(1 + dq / qq);
      scales[row] *= factor;
      for (int f = 0; f < n; f++) {
        d[at(f, row)] -= (factor - 1) * q[at(f, row)];
        sums[at(f, row)] -= (factor - 1) * qH[at(f, row)];
      }
    }
  }
}
