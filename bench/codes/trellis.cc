// Relative squared error on N(0,1) of bitshift trellis codes (trellis.h) in rows of 2048 weights, by exact Viterbi search.
//
//   value  gauss    a table of random normal numbers: what the best computed code can hope for
//          bytes    sum of the four bytes of a * state + b (QTIP's 1MAD)
//          small    sum of the four 6-bit bytes of a * state (ik_llama.cpp): fits int8
//          trained  a table fitted to other Gaussian weights by Lloyd's iteration
//
//   g++ -O3 -march=native -ffast-math -std=c++17 -o trellis trellis.cc
//   ./trellis VALUE S [bits=2,2.5,3,3.25,4] [rows=128] [rounds=12] [scale=0 (sqrt(1 - error))] [seed=1]
#include <cstring>
#include <map>

#include "trellis.h"

namespace {

constexpr int kColumns = 2048;

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: trellis VALUE S [name=value ...]\n"), 1;
  std::map<std::string, std::string> given{{"bits", "2,2.5,3,3.25,4"}, {"rows", "128"}, {"rounds", "12"}, {"scale", "0"}, {"seed", "1"}};
  for (int i = 3; i < argc; i++) {
    std::string argument = argv[i];
    size_t equals = argument.find('=');
    if (equals == std::string::npos || !given.count(argument.substr(0, equals))) return std::fprintf(stderr, "unknown %s\n", argv[i]), 1;
    given[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  std::string kind = argv[1];
  Trellis trellis(std::atoi(argv[2]));
  size_t states = trellis.values.size();
  int rows = std::stoi(given["rows"]);
  std::vector<float> w = gaussians(static_cast<size_t>(rows) * kColumns, std::stoull(given["seed"]));
  std::vector<float> training = gaussians(w.size(), 777);
  std::vector<uint32_t> path(kColumns);
  std::string list = given["bits"];
  for (char* item = std::strtok(&list[0], ","); item; item = std::strtok(nullptr, ",")) {
    double bits = std::atof(item);
    fill(trellis, kind);
    double scale = std::stod(given["scale"]);
    if (scale == 0) scale = std::sqrt(1 - 1.18 * std::pow(2, -2 * bits));
    for (float& value : trellis.values) value = static_cast<float>(value * scale);
    for (int round = 0; kind == "trained" && round < std::stoi(given["rounds"]); round++) {
      std::vector<double> sum(states, 0), number(states, 0);
      for (int row = 0; row < rows; row++) {
        trellis.search(&training[static_cast<size_t>(row) * kColumns], kColumns, bits, path.data());
        for (int t = 0; t < kColumns; t++) sum[path[t]] += training[static_cast<size_t>(row) * kColumns + t], number[path[t]]++;
      }
      for (size_t s = 0; s < states; s++) {
        if (number[s] > 0) trellis.values[s] = static_cast<float>((sum[s] + 2 * trellis.values[s]) / (number[s] + 2));
      }
    }
    double error = 0, energy = 0, product = 0, norm = 0;
    for (int row = 0; row < rows; row++) {
      const float* x = &w[static_cast<size_t>(row) * kColumns];
      trellis.search(x, kColumns, bits, path.data());
      for (int t = 0; t < kColumns; t++) {
        double v = trellis.values[path[t]];
        error += (x[t] - v) * (x[t] - v);
        energy += x[t] * x[t];
        product += x[t] * v;
        norm += v * v;
      }
    }
    std::printf("trellis %s S=%s bits=%.2f error=%.5f loss=%.3f  best factor %.4f\n", kind.c_str(), argv[2], bits, error / energy,
                lossInBits(bits, error / energy), product / norm);
    std::fflush(stdout);
  }
}
