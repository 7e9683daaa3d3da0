// Decoding 16 groups at a time.
#if defined(__x86_64__)
#include "cpu/split_pulses/avx512_split.h"

namespace pyramidion {

extern const SplitPulsesKernel split_pulses_avx512;
const SplitPulsesKernel split_pulses_avx512 = {InstructionSet::avx512, decode};

}  // namespace pyramidion
#endif
