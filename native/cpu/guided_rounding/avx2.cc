// Calibrated rounding, 8 rows at a time.
#define PYRAMIDION_LANES 8
#include "cpu/guided_rounding/lanes.h"

namespace pyramidion {

extern const GuidedKernel guided_kernel_avx2;
const GuidedKernel guided_kernel_avx2 = {InstructionSet::avx2, lanes, sweep_groups, accumulate_groups};

}  // namespace pyramidion
