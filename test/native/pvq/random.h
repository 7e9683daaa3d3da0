// Seeded random inputs for the native PVQ tests: the same numbers on every machine.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  uint64_t word() { return engine_(); }
  uint64_t below(uint64_t limit) { return engine_() % limit; }
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  float gaussian() {
    return static_cast<float>(std::sqrt(-2 * std::log(1 - uniform())) * std::cos(6.283185307179586 * uniform()));
  }
  std::vector<float> gaussians(size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = gaussian();
    return values;
  }

 private:
  std::mt19937_64 engine_;
};
