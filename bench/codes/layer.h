// A layer and the Hessian of its inputs: N(0,1) weights and Q diag(e^(-decay i / n)) Q^T with random orthogonal Q, or from files.
#pragma once
#include <string>

#include "source.h"

using Matrix = std::vector<double>;

/** Gram and Schmidt, twice. Rows become orthonormal. */
inline void orthonormalise(Matrix& q, int n) {
  for (int i = 0; i < n; i++) {
    for (int pass = 0; pass < 2; pass++) {
      for (int j = 0; j < i; j++) {
        double dot = 0;
        for (int k = 0; k < n; k++) dot += q[i * n + k] * q[j * n + k];
        for (int k = 0; k < n; k++) q[i * n + k] -= dot * q[j * n + k];
      }
    }
    double norm = 0;
    for (int k = 0; k < n; k++) norm += q[i * n + k] * q[i * n + k];
    for (int k = 0; k < n; k++) q[i * n + k] /= std::sqrt(norm);
  }
}

/** H = R R^T with R upper triangular. */
inline Matrix upperFactor(const Matrix& h, int n) {
  Matrix r(n * n, 0);
  for (int j = n - 1; j >= 0; j--) {
    for (int i = j; i >= 0; i--) {
      double sum = h[i * n + j];
      for (int k = j + 1; k < n; k++) sum -= r[i * n + k] * r[j * n + k];
      r[i * n + j] = i == j ? std::sqrt(sum) : sum / r[j * n + j];
    }
  }
  return r;
}

inline double quadratic(const std::vector<float>& d, const Matrix& h, int rows, int n) {
  double total = 0;
  for (int r = 0; r < rows; r++) {
    for (int i = 0; i < n; i++) {
      double sum = 0;
      for (int j = 0; j < n; j++) sum += h[i * n + j] * d[j * rows + r];
      total += sum * d[i * rows + r];
    }
  }
  return total;
}

struct Layer {
  int rows, n;
  std::vector<float> w;  // column by column
  Matrix inputs, h, guide, factor;  // h = inputs^T inputs; guide = h and a ridge of 1 % of its mean diagonal = factor factor^T
  double energy;

  /** source: the decay, or a PREFIX as write() and extraction from a model make it, rows as they come. */
  Layer(const std::string& source, int rowCount, int columns) : rows(rowCount), n(columns) {
    char* end;
    double decay = std::strtod(source.c_str(), &end);
    if (*end) {
      std::vector<float> byRow = load(source + ".w"), x = load(source + ".x");
      n = static_cast<int>(std::lround(std::sqrt(static_cast<double>(x.size()))));
      rows = std::min(rows, static_cast<int>(byRow.size() / n));
      w.resize(static_cast<size_t>(rows) * n);
      for (int r = 0; r < rows; r++) {
        for (int j = 0; j < n; j++) w[static_cast<size_t>(j) * rows + r] = byRow[static_cast<size_t>(r) * n + j];
      }
      inputs.assign(x.begin(), x.end());
    } else {
      w = gaussians(static_cast<size_t>(rows) * n, 5);
      std::vector<float> random = gaussians(static_cast<size_t>(n) * n, 6);
      inputs.assign(random.begin(), random.end());
      orthonormalise(inputs, n);
      for (int k = 0; k < n; k++) {
        for (int i = 0; i < n; i++) inputs[k * n + i] *= std::exp(-decay * k / n / 2);
      }
    }
    h.assign(static_cast<size_t>(n) * n, 0);
    for (int k = 0; k < n; k++) {
      for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) h[i * n + j] += inputs[k * n + i] * inputs[k * n + j];
      }
    }
    energy = quadratic(w, h, rows, n);
    double ridge = 0;
    for (int i = 0; i < n; i++) ridge += 0.01 * h[i * n + i] / n;
    guide = h;
    for (int i = 0; i < n; i++) guide[i * n + i] += ridge;
    factor = upperFactor(guide, n);
  }

  double error(const std::vector<float>& d) const { return quadratic(d, h, rows, n) / energy; }

  /** PREFIX.w, rows x n, and PREFIX.x, n inputs: for guided.mjs. */
  void write(const std::string& prefix) const {
    std::vector<float> byRow(w.size()), x(inputs.begin(), inputs.end());
    for (int r = 0; r < rows; r++) {
      for (int j = 0; j < n; j++) byRow[static_cast<size_t>(r) * n + j] = w[static_cast<size_t>(j) * rows + r];
    }
    save(prefix + ".w", byRow);
    save(prefix + ".x", x);
  }

 private:
  static std::vector<float> load(const std::string& name) {
    std::FILE* file = std::fopen(name.c_str(), "rb");
    if (!file) std::exit(std::fprintf(stderr, "cannot read %s\n", name.c_str()));
    std::fseek(file, 0, SEEK_END);
    std::vector<float> data(static_cast<size_t>(std::ftell(file)) / sizeof(float));
    std::rewind(file);
    if (std::fread(data.data(), sizeof(float), data.size(), file) != data.size()) std::exit(1);
    std::fclose(file);
    return data;
  }
  static void save(const std::string& name, const std::vector<float>& data) {
    std::FILE* file = std::fopen(name.c_str(), "wb");
    if (!file || std::fwrite(data.data(), sizeof(float), data.size(), file) != data.size() || std::fclose(file)) {
      std::exit(std::fprintf(stderr, "cannot write %s\n", name.c_str()));
    }
  }
};
