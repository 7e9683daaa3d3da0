// Seeded random inputs for the native tests; a failing case prints its seed.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace pyramidion {

class RandomInputs {
 public:
  explicit RandomInputs(uint64_t seed) : generator_(seed) {}

  // Standard normal values.
  std::vector<float> normal(size_t count) {
    std::normal_distribution<float> law;
    std::vector<float> values(count);
    for (float& value : values) value = law(generator_);
    return values;
  }

  // Uniform whole numbers in [low, high].
  template <class T>
  std::vector<T> integers(size_t count, int low, int high) {
    std::uniform_int_distribution<int> law(low, high);
    std::vector<T> values(count);
    for (T& value : values) value = static_cast<T>(law(generator_));
    return values;
  }

 private:
  std::mt19937_64 generator_;
};

}  // namespace pyramidion
