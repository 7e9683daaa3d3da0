// Decoding 16 groups at a time.
#if defined(__x86_64__)
#include "cpu/pvq_pulses/avx512_pulses.h"

namespace pyramidion {

extern const PvqPulsesKernel pvq_pulses_avx512;
const PvqPulsesKernel pvq_pulses_avx512 = {InstructionSet::avx512, supports, decode};

}  // namespace pyramidion
#endif
