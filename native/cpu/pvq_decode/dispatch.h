// Decoding of PVQ rows, into floats or straight into a dot product, in the fastest form this processor runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/pvq/pvq_code.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

// Operations on one segment of one row. `codes` is where the segment starts in the row; all of its codes must be valid,
// and pvq_read_ahead bytes beyond its end must be readable (their values do not matter).
struct PvqDecodeKernel {
  InstructionSet instruction_set;
  // Whether this form handles the code at all; the others are only called when it does.
  bool (*supports)(const PvqCode& code);
  // Floats that a prepared vector takes: a multiple of 16.
  size_t (*prepared_size)(const PvqCode& code);
  // x: code.columns values; prepared: 64-byte aligned, the same values in the order this form's dot reads them.
  void (*prepare)(const PvqCode& code, const float* x, float* prepared);
  // The dot product of the segment, at a row scale of 1, with a prepared vector.
  float (*dot)(const PvqCode& code, const uint8_t* codes, const float* prepared);
  // out: code.columns values. Every form gives the same floats bit for bit: p * ((scale * level) / sqrt(||p||^2)).
  void (*decode)(const PvqCode& code, const uint8_t* codes, float scale, float* out);
};

constexpr size_t pvq_read_ahead = 128;

// Best first; the last one runs everywhere and supports every code.
const std::vector<PvqDecodeKernel>& pvq_decode_kernels();

// The first of them that `set` covers and that supports the code.
const PvqDecodeKernel& pvq_decode_kernel(const PvqCode& code, InstructionSet set = instruction_set());

}  // namespace pyramidion
