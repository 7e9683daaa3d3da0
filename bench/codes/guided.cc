// A layer rounded for its outputs with a bitshift trellis: the error relative to the outputs, E[|dW x|^2] / E[|W x|^2]. Each column of W is one
// sequence down the rows, so that error feedback (GPTQ, LDLQ) goes from column to column, with nothing left unguided inside a group; then sweeps of
// coordinate descent, column by column. LAYER: see layer.h.
//
//   g++ -O3 -march=native -ffast-math -std=c++17 -o guided guided.cc
//   ./guided VALUE S BITS LAYER [rows=512] [columns=576] [sweeps=2] [dump=PREFIX]
//
// dump writes PREFIX.w and PREFIX.x (a root of the Hessian, as columns x columns inputs) for guided.mjs, which rounds the same layer with the
// library's pyramids.
#include <cstring>
#include <map>

#include "layer.h"
#include "trellis.h"

int main(int argc, char** argv) {
  if (argc < 5) return std::fprintf(stderr, "usage: guided VALUE S BITS LAYER [name=value ...]\n"), 1;
  std::map<std::string, std::string> given{{"rows", "512"}, {"columns", "576"}, {"sweeps", "2"}, {"dump", ""}};
  for (int i = 5; i < argc; i++) {
    std::string argument = argv[i];
    size_t equals = argument.find('=');
    if (equals == std::string::npos || !given.count(argument.substr(0, equals))) return std::fprintf(stderr, "unknown %s\n", argv[i]), 1;
    given[argument.substr(0, equals)] = argument.substr(equals + 1);
  }
  double bits = std::atof(argv[3]);

  Layer layer(argv[4], std::stoi(given["rows"]), std::stoi(given["columns"]));
  int rows = layer.rows, n = layer.n;
  if (!given["dump"].empty()) layer.write(given["dump"]);
  const std::vector<float>& w = layer.w;
  const Matrix &guide = layer.guide, &r = layer.factor;

  Trellis trellis(std::atoi(argv[2]));
  fill(trellis, argv[1]);
  double scale = std::sqrt(1 - 1.18 * std::pow(2, -2 * bits));
  for (float& value : trellis.values) value = static_cast<float>(value * scale);

  std::vector<float> d(w.size(), 0), target(rows), accumulated(w.size(), 0);
  std::vector<uint32_t> path(rows);
  for (int sweep = 0; sweep <= std::stoi(given["sweeps"]); sweep++) {
    for (int j = 0; j < n; j++) {
      const float *column = &w[static_cast<size_t>(j) * rows], *sum = &accumulated[static_cast<size_t>(j) * rows];
      float* difference = &d[static_cast<size_t>(j) * rows];
      std::vector<float> coefficients(n, 0);
      int first = 0;
      double square = 0;
      if (sweep == 0) {
        for (int i = 0; i < rows; i++) target[i] = column[i] + static_cast<float>(sum[i] / r[j * n + j]);
      } else {  // accumulated = D H
        for (int i = 0; i < rows; i++) target[i] = column[i] - difference[i] + static_cast<float>(sum[i] / guide[j * n + j]);
      }
      // Feedback widens the targets; their own scale is what a level or a step of the column would store.
      for (float value : target) square += static_cast<double>(value) * value;
      float spread = static_cast<float>(std::sqrt(square / rows));
      std::vector<float> scaled(target);
      for (float& value : scaled) value /= spread;
      trellis.search(scaled.data(), rows, bits, path.data());
      std::vector<float> change(rows);
      for (int i = 0; i < rows; i++) {
        float now = column[i] - spread * trellis.values[path[i]];
        change[i] = now - difference[i];
        difference[i] = now;
      }
      if (sweep == 0) first = j;
      for (int f = first; f < n; f++) {
        float coefficient = static_cast<float>(sweep == 0 ? r[j * n + f] : guide[j * n + f]);
        float* to = &accumulated[static_cast<size_t>(f) * rows];
        for (int i = 0; i < rows; i++) to[i] += coefficient * change[i];
      }
    }
    std::printf("trellis %s S=%s bits=%.2f layer=%s %s error=%.5f\n", argv[1], argv[2], bits, argv[4], sweep == 0 ? "feedback" : "sweep   ",
                layer.error(d));
    std::fflush(stdout);
    // From here on the sums are of the whole Hessian.
    if (sweep == 0) {
      std::fill(accumulated.begin(), accumulated.end(), 0.0f);
      for (int f = 0; f < n; f++) {
        for (int j = 0; j < n; j++) {
          float coefficient = static_cast<float>(guide[j * n + f]);
          for (int i = 0; i < rows; i++) accumulated[static_cast<size_t>(f) * rows + i] += coefficient * d[static_cast<size_t>(j) * rows + i];
        }
      }
    }
  }
}
