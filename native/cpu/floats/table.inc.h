// The table of one instruction set; see vector.h for how this folder is compiled.
#pragma once

#include "cpu/floats/blocks.inc.h"
#include "cpu/floats/dot.inc.h"
#include "cpu/floats/exponential.inc.h"
#include "cpu/floats/gemm.inc.h"
#include "cpu/floats/hadamard.inc.h"
#include "cpu/floats/int8.inc.h"
#include "cpu/floats/kernels.h"
#include "cpu/floats/rounding.inc.h"
#include "cpu/floats/rows.inc.h"

namespace pyramidion::PYRAMIDION_FLOATS {

extern const FloatKernels kernels;
const FloatKernels kernels = {
    {kPanel<float>, pack<float>, multiply_panels<float>, dot<float>, add_scaled<float>},
    {kPanel<double>, pack<double>, multiply_panels<double>, dot<double>, add_scaled<double>},
    {row_dots<float>, add_weighted_rows<float>, widen<float>},
    {row_dots<uint16_t>, add_weighted_rows<uint16_t>, widen<uint16_t>},
    {row_dots<int8_t>, add_weighted_rows<int8_t>, widen<int8_t>},
    narrow_to_f16,
    narrow_to_int8,
    row_dots_int8,
    scale,
    multiply,
    maximum,
    hadamard,
    exponentials,
    sum_exponentials,
    divergence,
    silu_multiply,
    silu_multiply_backward,
    decode_f32,
    decode_f16,
    decode_bf16,
    decode_q8_0,
    decode_q4_0,
    decode_q4_1,
    decode_q4_k,
    decode_q6_k,
    decode_int8,
    unpack_codes,
    scale_codes,
    scale_signed_codes,
    largest_magnitude,
    round_to_multiples,
};

}  // namespace pyramidion::PYRAMIDION_FLOATS
