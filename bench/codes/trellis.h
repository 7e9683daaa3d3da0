// A bitshift trellis code (QTIP, arXiv 2406.11235): weight t is a function of the last S bits of the stream, of which k are new. Between two
// whole rates k alternates. Zeros stand before the first bit, so that a sequence costs its rate and nothing else.
#pragma once
#include <algorithm>
#include <string>

#include "source.h"

class Trellis {
 public:
  explicit Trellis(int stateBits) : stateBits_(stateBits), values(size_t{1} << stateBits), cost_(values.size()), least_(values.size()) {}

  /** New bits with weight t. */
  static int newBits(double bits, int t) { return static_cast<int>(std::floor((t + 1) * bits + 1e-9) - std::floor(t * bits + 1e-9)); }

  /** The states of the best path. */
  void search(const float* w, int length, double bits, uint32_t* path) {
    int most = static_cast<int>(std::ceil(bits - 1e-9));
    size_t kept = values.size() >> static_cast<int>(std::floor(bits + 1e-9));
    came_.resize(kept * static_cast<size_t>(length));
    squares_.resize(values.size());
    for (size_t s = 0; s < values.size(); s++) squares_[s] = values[s] * values[s];
    std::fill(cost_.begin(), cost_.end(), 1e9f);
    cost_[0] = 0;
    if (most > 8) std::exit(1);
    for (int t = 0; t < length; t++) {
      uint8_t* came = &came_[kept * t];
      switch (newBits(bits, t)) {
        case 1: step<1>(w[t], came); break;
        case 2: step<2>(w[t], came); break;
        case 3: step<3>(w[t], came); break;
        case 4: step<4>(w[t], came); break;
        case 5: step<5>(w[t], came); break;
        default: std::exit(std::fprintf(stderr, "bits outside 1 to 5\n"));
      }
    }
    uint32_t state = static_cast<uint32_t>(std::min_element(cost_.begin(), cost_.end()) - cost_.begin());
    for (int t = length - 1; t >= 0; t--) {
      path[t] = state;
      int k = newBits(bits, t);
      uint32_t low = state >> k;
      state = low | static_cast<uint32_t>(came_[kept * t + low]) << (stateBits_ - k);
    }
  }

 private:
  int stateBits_;

 public:
  std::vector<float> values;

 private:
  template <int k>
  void step(float w, uint8_t* __restrict came) {
    const size_t low = values.size() >> k;
    float *__restrict cost = cost_.data(), *__restrict least = least_.data();
    const float *__restrict value = values.data(), *__restrict square = squares_.data();
    for (size_t j = 0; j < low; j++) least[j] = cost[j], came[j] = 0;
    for (int c = 1; c < 1 << k; c++) {
      const float* from = cost + low * c;
      for (size_t j = 0; j < low; j++) {
        bool better = from[j] < least[j];
        least[j] = better ? from[j] : least[j];
        came[j] = better ? static_cast<uint8_t>(c) : came[j];
      }
    }
    const float twice = -2 * w, ww = w * w;
    for (size_t j = 0; j < low; j++) {
      const float base = least[j] + ww;
      for (int b = 0; b < 1 << k; b++) cost[(j << k) + b] = base + (square[(j << k) + b] + twice * value[(j << k) + b]);
    }
  }

  std::vector<float> cost_, least_, squares_;
  std::vector<uint8_t> came_;
};

inline void fill(Trellis& trellis, const std::string& kind) {
  size_t states = trellis.values.size();
  std::vector<float> random = gaussians(states, 12345);
  for (size_t s = 0; s < states; s++) {
    uint32_t x = static_cast<uint32_t>(s), sum = 0;
    if (kind == "bytes") {
      x = x * 34038481u + 76625530u;
      for (int i = 0; i < 4; i++) sum += (x >> (8 * i)) & 0xff;
      trellis.values[s] = static_cast<float>((sum - 510.0) / 147.8);
    } else if (kind == "small") {
      x *= 0xcbac1fedu;
      for (int i = 0; i < 4; i++) sum += (x >> (8 * i)) & 0x3f;
      trellis.values[s] = static_cast<float>((sum - 126.0) / 36.94);
    } else {
      trellis.values[s] = random[s];
    }
  }
}

