// Decoding 16 groups at a time.
#if defined(__x86_64__)
#include "cpu/split_pulses/avx512_split.h"

namespace pyramidion {

extern const SplitPulsesKernel split_pulses_avx512_vbmi;
const SplitPulsesKernel split_pulses_avx512_vbmi = {InstructionSet::avx512_vbmi, decode};

}  // namespace pyramidion
#endif
