// Second moments to weigh errors with, and errors weighed on both sides, by their definition.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "../pvq/random.h"

namespace pyramidion {

inline std::vector<double> correlated(size_t width, double decay, Random& random) {
  std::vector<double> directions(width * width), result(width * width, 0);
  for (size_t i = 0; i < width; ++i) {
    for (size_t k = 0; k < width; ++k) {
      directions[i * width + k] =
          random.gaussian() * std::exp(-decay * static_cast<double>(k) / static_cast<double>(width));
    }
  }
  for (size_t i = 0; i < width; ++i) {
    for (size_t j = 0; j < width; ++j) {
      for (size_t k = 0; k < width; ++k) result[i * width + j] += directions[i * width + k] * directions[j * width + k];
    }
  }
  return result;
}

// tr(G D H D')
inline double two_sided_error(const std::vector<float>& d, const std::vector<double>& g, const std::vector<double>& h,
                              size_t rows, size_t columns) {
  double error = 0;
  for (size_t i = 0; i < rows; ++i) {
    std::vector<double> mixed(columns, 0);
    for (size_t j = 0; j < rows; ++j) {
      for (size_t c = 0; c < columns; ++c) mixed[c] += g[i * rows + j] * d[j * columns + c];
    }
    for (size_t a = 0; a < columns; ++a) {
      for (size_t b = 0; b < columns; ++b) error += mixed[a] * h[a * columns + b] * d[i * columns + b];
    }
  }
  return error;
}

}  // namespace pyramidion
