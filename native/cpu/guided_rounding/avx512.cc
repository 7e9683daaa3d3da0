// Calibrated rounding, 16 rows at a time.
#define PYRAMIDION_LANES 16
#include "cpu/guided_rounding/lanes.h"

namespace pyramidion {

extern const GuidedKernel guided_kernel_avx512;
const GuidedKernel guided_kernel_avx512 = {InstructionSet::avx512, lanes, sweep_groups, accumulate_groups};

}  // namespace pyramidion
