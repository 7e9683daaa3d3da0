// 16 groups at once with AVX2, in two vectors.
#if defined(__x86_64__)
#include "cpu/symbol_factors/avx2.h"
#include "cpu/residue_product/avx2_residues.h"
#include "cpu/residue_product/dispatch.h"

namespace pyramidion {
namespace {

template <int Quads>
void accumulate_row(const ResidueRows& rows, const SymbolFactors& factors, size_t row, const int8_t* x, float* lanes) {
  ResidueCursor<Quads> cursor(rows, row);
  __m256 sums[2] = {_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes + half_groups)};
  for (size_t b = 0; b < rows.blocks; ++b, x += Quads * 64) {
    HalfResidues<Quads> halves[2];
    cursor.next(rows.lanes(b), halves);
    for (size_t h = 0; h < 2; ++h) {
      // The magnitudes of a group add up to 64 at most: sums of 16 bits hold all products.
      __m256i dot = _mm256_setzero_si256(), square = dot;
      for (int q = 0; q < Quads; ++q) {
        const __m256i magnitudes = halves[h].magnitudes[q];
        const __m256i inputs = turned(load(x + q * 64 + 32 * h), halves[h].negative[q]);
        dot = _mm256_add_epi16(dot, _mm256_maddubs_epi16(magnitudes, inputs));
        square = _mm256_add_epi16(square, _mm256_maddubs_epi16(magnitudes, magnitudes));
      }
      const __m256 factor = factors.read(halves[h].symbols, widen(square));
      sums[h] = _mm256_add_ps(sums[h], _mm256_mul_ps(_mm256_cvtepi32_ps(widen(dot)), factor));
    }
  }
  _mm256_storeu_ps(lanes, sums[0]);
  _mm256_storeu_ps(lanes + half_groups, sums[1]);
}

void accumulate(const ResidueRows& rows, const GroupFactors& factors, size_t first, size_t count,
                const SegmentTokens& tokens, float* lanes) {
  const SymbolFactors reader(factors);
  for (size_t row = first; row < first + count; ++row, lanes += block_groups) {
    if (rows.quads == 2) {
      accumulate_row<2>(rows, reader, row, tokens.values, lanes);
    } else {
      accumulate_row<4>(rows, reader, row, tokens.values, lanes);
    }
  }
}

template <int Quads>
void decode_row(const ResidueRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  ResidueCursor<Quads> cursor(rows, row);
  for (size_t b = 0; b < rows.blocks; ++b, pulses += Quads * 64, levels += block_groups) {
    HalfResidues<Quads> halves[2];
    cursor.next(rows.lanes(b), halves);
    for (size_t h = 0; h < 2; ++h) {
      uint32_t symbols[half_groups];
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols), halves[h].symbols);
      for (size_t lane = 0; lane < half_groups; ++lane) levels[h * half_groups + lane] = rows.level_of[symbols[lane]];
      for (int q = 0; q < Quads; ++q) {
        const __m256i point = turned(halves[h].magnitudes[q], halves[h].negative[q]);
        _mm256_store_si256(reinterpret_cast<__m256i*>(pulses + q * 64 + 32 * h),
                           _mm256_xor_si256(point, _mm256_set1_epi8(-128)));
      }
    }
  }
}

void decode(const ResidueRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  return rows.quads == 2 ? decode_row<2>(rows, row, pulses, levels) : decode_row<4>(rows, row, pulses, levels);
}

}  // namespace

extern const ResidueProductKernel residue_product_avx2;
const ResidueProductKernel residue_product_avx2 = {InstructionSet::avx2, accumulate, decode};

}  // namespace pyramidion
#endif
