// level * (1 / ||p||), what a group's integer dot product is multiplied with, for every level and squared norm of a
// code.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/pvq/pvq_code.h"

namespace pyramidion {

// The factor as defined; padding, which has no pulses, gets 0.
static inline float group_factor(float level, float squared_norm) {
  return squared_norm == 0 ? 0 : level * (1 / std::sqrt(squared_norm));
}

struct GroupFactors {
  explicit GroupFactors(const PvqCode& code);

  // Whether the code's factors have a table, `values`.
  static bool has_table(const PvqCode& code);

  std::vector<float> levels;
  // values[l * stride + n] = group_factor(level l, n) for n = 0..K^2; empty where that would be more than max_values.
  static constexpr size_t max_values = size_t{1} << 20;
  std::vector<float> values;
  uint32_t stride;

  // 1 / sqrt(n) of the norms that most groups have: n = first_norm + (i << norm_shift), from the least there is.
  // Squared norms have the parity of K, and are multiples of 4 on the Barnes-Wall lattice, whose groups have a residue
  // of 0, 8 or 16 odd coordinates.
  static constexpr size_t usual_norms = 64;
  uint32_t first_norm, norm_shift;
  alignas(64) float inverse_norms[usual_norms];
};

}  // namespace pyramidion
