// Gain levels by Lloyd-Max on the law of a group's projection <w, p/||p||> (design section 3): the group's norm r, with
// r^2 / n ~ Beta(D/2, (n-D)/2) in a rotated row of n weights of unit mean square, times the cosine c that the code
// reaches, whose law is simulated with a fixed seed. Only exactly rounded operations are used, so that every machine
// finds the same levels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/pvq/pyramid_search.h"

namespace pyramidion {

class ProjectionLaw {
 public:
  // pyramid: as search takes it, D = 2..32; row_length n >= 1 (below D: rows padded to one group).
  ProjectionLaw(const Pyramid& pyramid, size_t row_length, SearchPoints search);

  // The L levels of least squared error, ascending. count L: 1..max_levels.
  std::vector<float> levels(size_t count) const;
  // E ||w - level p/||p|| ||^2 / E ||w||^2, the relative squared error of the code with these levels.
  double relative_error(const std::vector<float>& levels) const;

  static constexpr size_t max_levels = 4096;

 private:
  // Probability and first moment up to x; the density is constant inside a bin.
  struct Cumulative {
    double probability, moment;
  };
  Cumulative below(double x) const;
  // A probability that lies between low and high, anywhere alike.
  void add(double low, double high, double probability);

  double bin_width_, mean_square_norm_;
  std::vector<double> probability_, moment_;
};

}  // namespace pyramidion
