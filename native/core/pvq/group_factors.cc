#include "core/pvq/group_factors.h"

namespace pyramidion {

namespace {

// Squared norms from 0 to K^2.
uint64_t norms_of(const PvqCode& code) {
  const auto k = static_cast<uint64_t>(code.pulses);
  return k * k + 1;
}

}  // namespace

bool GroupFactors::has_table(const PvqCode& code) { return norms_of(code) <= max_values / code.levels.size(); }

GroupFactors::GroupFactors(const PvqCode& code)
    : levels(code.levels), stride(0), norm_shift(code.lattice == Lattice::barnes_wall ? 2 : 1) {
  const auto k = static_cast<uint64_t>(code.pulses), d = static_cast<uint64_t>(code.dimension);
  // K pulses in D places, as evenly as can be.
  const uint64_t even = k / d, least = d * even * even + k % d * (2 * even + 1);
  first_norm = static_cast<uint32_t>(code.lattice == Lattice::barnes_wall ? (least + 3) / 4 * 4 : least);
  for (size_t i = 0; i < usual_norms; ++i) {
    inverse_norms[i] = group_factor(1, static_cast<float>(first_norm + (i << norm_shift)));
  }
  if (!has_table(code)) return;
  stride = static_cast<uint32_t>(norms_of(code));
  values.reserve(stride * code.levels.size());
  for (float level : code.levels) {
    for (uint32_t n = 0; n < stride; ++n) values.push_back(group_factor(level, static_cast<float>(n)));
  }
}

}  // namespace pyramidion
