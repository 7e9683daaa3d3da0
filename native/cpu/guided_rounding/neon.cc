// Calibrated rounding, 4 rows at a time with fused products.
#define PYRAMIDION_LANES 4
#define PYRAMIDION_NEON
#include "cpu/guided_rounding/lanes.h"

namespace pyramidion {

extern const GuidedKernel guided_kernel_neon;
const GuidedKernel guided_kernel_neon = {InstructionSet::neon, lanes, sweep_groups, accumulate_groups};

}  // namespace pyramidion
