// Decoding 16 groups at a time.
#if defined(__x86_64__)
#include "cpu/pvq_pulses/avx512_pulses.h"

namespace pyramidion {

extern const PvqPulsesKernel pvq_pulses_avx512_vbmi;
const PvqPulsesKernel pvq_pulses_avx512_vbmi = {InstructionSet::avx512_vbmi, supports, decode};

}  // namespace pyramidion
#endif
