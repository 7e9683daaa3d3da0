// The kernel of either lattice with AVX-512.
//
// Included by avx512.cc and avx512_vbmi.cc; everything has internal linkage, as in lanes.h of the search.
#pragma once

#include "cpu/pvq_decode/avx512_barnes_wall.h"
#include "cpu/pvq_decode/avx512_integer.h"
#include "cpu/pvq_decode/dispatch.h"

namespace pyramidion {
namespace {

bool small(const PvqCode& code) { return code.pulses <= QuadTable::max_pulses; }

float dot_any(const PvqCode& code, const uint8_t* codes, const float* prepared) {
  if (code.lattice == Lattice::barnes_wall) return dot_barnes_wall(code, codes, prepared);
  switch (code.dimension) {
    case 2:
      return dot_integer<2, false>(code, codes, prepared);
    case 4:
      return small(code) ? dot_integer<4, true>(code, codes, prepared) : dot_integer<4, false>(code, codes, prepared);
    case 8:
      return small(code) ? dot_integer<8, true>(code, codes, prepared) : dot_integer<8, false>(code, codes, prepared);
    case 16:
      return small(code) ? dot_integer<16, true>(code, codes, prepared) : dot_integer<16, false>(code, codes, prepared);
    default:
      return dot_integer<32, true>(code, codes, prepared);
  }
}

void decode_any(const PvqCode& code, const uint8_t* codes, float scale, float* out) {
  if (code.lattice == Lattice::barnes_wall) return decode_barnes_wall(code, codes, scale, out);
  switch (code.dimension) {
    case 2:
      return decode_integer<2, false>(code, codes, scale, out);
    case 4:
      return small(code) ? decode_integer<4, true>(code, codes, scale, out)
                         : decode_integer<4, false>(code, codes, scale, out);
    case 8:
      return small(code) ? decode_integer<8, true>(code, codes, scale, out)
                         : decode_integer<8, false>(code, codes, scale, out);
    case 16:
      return small(code) ? decode_integer<16, true>(code, codes, scale, out)
                         : decode_integer<16, false>(code, codes, scale, out);
    default:
      return decode_integer<32, true>(code, codes, scale, out);
  }
}

// Everything up to 8 bits a weight and more: at D = 2 and 4 squared norms must stay exact in float and indices of four
// coordinates below 2^32. The other dimensions keep both by the 64 bits of a code.
bool supports(const PvqCode& code) { return code.dimension >= 8 || code.pulses <= 1024; }

size_t prepared_size(const PvqCode& code) { return (code.groups + lanes - 1) / lanes * lanes * code.dimension; }

void prepare(const PvqCode& code, const float* x, float* prepared) {
  const size_t dimension = code.dimension, size = prepared_size(code);
  if (code.lattice == Lattice::barnes_wall) return prepare_barnes_wall(code, x, prepared, size);
  for (size_t i = 0; i < size; ++i) {
    const size_t block = i / (lanes * dimension), coordinate = i / lanes % dimension, lane = i % lanes;
    const size_t column = (block * lanes + lane) * dimension + coordinate;
    prepared[i] = column < code.columns ? x[column] : 0;
  }
}

}  // namespace
}  // namespace pyramidion
