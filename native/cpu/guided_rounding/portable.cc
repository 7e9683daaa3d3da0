// Calibrated rounding, 4 rows at a time.
#define PYRAMIDION_LANES 4
#include "cpu/guided_rounding/lanes.h"

namespace pyramidion {

extern const GuidedKernel guided_kernel_portable;
const GuidedKernel guided_kernel_portable = {InstructionSet::portable, lanes, sweep_groups, accumulate_groups};

}  // namespace pyramidion
