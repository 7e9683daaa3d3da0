// What a variable-length code would give: uniform scalar quantization of N(0,1) with reconstruction at the centroids, its step set so that the
// entropy of the indices is the rate. Exact, no samples.
//
//   g++ -O2 -std=c++17 -o entropy entropy.cc && ./entropy
#include "source.h"

namespace {

double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }
double below(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }

/** Entropy in bits, and the error: 1 - sum of P (centroid)^2. */
std::pair<double, double> measure(double step) {
  double entropy = 0, error = 1;
  for (int i = -400; i <= 400; i++) {
    double from = (i - 0.5) * step, to = (i + 0.5) * step, p = below(to) - below(from);
    if (p < 1e-15) continue;
    double centroid = (density(from) - density(to)) / p;
    entropy -= p * std::log2(p);
    error -= p * centroid * centroid;
  }
  return {entropy, error};
}

}  // namespace

int main() {
  for (double bits : {2.0, 2.5, 3.0, 3.25, 4.0}) {
    double low = 1e-2, high = 4;
    for (int i = 0; i < 60; i++) (measure(std::sqrt(low * high)).first > bits ? low : high) = std::sqrt(low * high);
    double error = measure(low).second;
    std::printf("entropy-coded scalar bits=%.2f step=%.4f error=%.5f loss=%.3f\n", bits, low, error, lossInBits(bits, error));
  }
}
