// Pair codes: what codes with D = 8 and few pulses are rewritten as for the fast product with a few tokens
// (kernels/pair_gemv.cu), some 0.3 bits a weight more than the stored ones. The coordinates make four pairs, (0,2),
// (1,3), (4,6), (5,7). From bit 0 on:
//
// - the points of the pairs as a binary fraction: with n = 4 k points in a pair of k pulses (1 for k = 0) and the
// point's number t,
//   ceil(2^W v / N), v = ((t0 n1 + t1) n2 + t2) n3 + t3, N = n0 n1 n2 n3, 2^W at least any N;
// - the number of the pairs' pulses (k0, k1, k2, k3), which add up to K, in lexicographic order;
// - the gain level.
//
// The point (a, b) of a pair has t = 2 k + (a + k) where b > 0, 2 k - (a + k) where b < 0, 0 for (k, 0) and 2 k for
// (-k, 0).
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel/thread_pool.h"
#include "core/pvq/pvq_code.h"
#include "cuda/launch.h"

namespace pyramidion::cuda {

struct PairLayout {
  int fraction_bits, composition_bits, level_bits;
  // Of each (k0, k1, k2, k3) the four n, a byte each; from first_level on the levels, as floats; a multiple of four
  // words.
  std::vector<uint32_t> table;
  uint32_t first_level;
  int bits() const { return fraction_bits + composition_bits + level_bits; }
};

// Whether pair codes of at most 32 bits hold a code: D = 8, integer lattice, and not too many pulses and levels.
bool has_pair_codes(const PvqCode& code);

// code: has_pair_codes().
PairLayout pair_layout(const PvqCode& code);

// As row_quads() of layout.h, in pair codes: quads(rows) x quad_words(groups, layout.bits()) x 4 words.
std::vector<uint32_t> pair_quads(const PvqCode& code, const PairLayout& layout, const uint8_t* codes, size_t row_bytes,
                                 size_t rows, ThreadPool& pool);

// What kernels take, for words and table on the device.
PairCodes pair_codes(const PvqCode& code, const PairLayout& layout, const uint32_t* words, const uint32_t* table);

}  // namespace pyramidion::cuda
