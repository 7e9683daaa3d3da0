// A seeded Gaussian source, and how the simulations of this folder state an error: relative to the variance, with the bits that are lost to the
// rate-distortion function D(R) = 2^-2R.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

/** Box and Muller over splitmix64: the same numbers on every machine. */
inline std::vector<float> gaussians(size_t count, uint64_t seed) {
  auto uniform = [&] {
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (static_cast<double>((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
  };
  std::vector<float> values(count);
  for (auto& value : values) value = static_cast<float>(std::sqrt(-2 * std::log(uniform())) * std::cos(2 * M_PI * uniform()));
  return values;
}

inline double lossInBits(double bits, double error) { return bits + 0.5 * std::log2(error); }
