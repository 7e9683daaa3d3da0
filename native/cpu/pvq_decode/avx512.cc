// Decoding 16 groups at a time.
#include "cpu/pvq_decode/avx512_kernel.h"

namespace pyramidion {

extern const PvqDecodeKernel pvq_decode_avx512;
const PvqDecodeKernel pvq_decode_avx512 = {
    InstructionSet::avx512, supports, prepared_size, prepare, dot_any, decode_any};

}  // namespace pyramidion
