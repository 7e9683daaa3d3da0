#include "core/pvq/group_factors.h"

namespace pyramidion {

GroupFactors::GroupFactors(const PvqCode& code) : levels(code.levels), stride(0) {
  const uint64_t norms = static_cast<uint64_t>(code.pulses) * static_cast<uint64_t>(code.pulses) + 1;
  if (norms > max_values / code.levels.size()) return;
  stride = static_cast<uint32_t>(norms);
  values.reserve(stride * code.levels.size());
  for (float level : code.levels) {
    for (uint32_t n = 0; n < stride; ++n) values.push_back(group_factor(level, static_cast<float>(n)));
  }
}

}  // namespace pyramidion
