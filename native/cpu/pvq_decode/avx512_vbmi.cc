// The same with permutations of bytes.
#include "cpu/pvq_decode/avx512_kernel.h"

namespace pyramidion {

extern const PvqDecodeKernel pvq_decode_avx512_vbmi;
const PvqDecodeKernel pvq_decode_avx512_vbmi = {
    InstructionSet::avx512_vbmi, supports, prepared_size, prepare, dot_any, decode_any};

}  // namespace pyramidion
