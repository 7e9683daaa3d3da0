// 16 groups at once with AVX2, in two vectors. Pulses are multiplied as <|p|, sign(p) q>: the magnitudes of a group add
// up to 31 at most, so sums of 16 bits hold all products.
#if defined(__x86_64__)
#include "cpu/symbol_factors/avx2.h"
#include "cpu/patched_product/dispatch.h"
#include "cpu/patched_product/span_walk.h"

namespace pyramidion {
namespace {

constexpr size_t quads = PatchedRows::quads;

void unpack(const uint8_t* fields, uint8_t* to) {
  const __m256i three = _mm256_set1_epi8(3), four = _mm256_set1_epi8(4);
  const __m256i negative = _mm256_set1_epi8(PatchedRows::offset - 4);
  for (size_t h = 0; h < 2; ++h) {
    const __m256i low = load(fields + 32 * h);
    for (size_t q = 0; q < quads; ++q) {
      uint32_t bits;
      std::memcpy(&bits, fields + PatchedRows::plane_at + 8 * q + 4 * h, sizeof(bits));
      const __m256i v = _mm256_and_si256(_mm256_srli_epi32(low, static_cast<int>(2 * q)), three);
      const __m256i raised = _mm256_and_si256(bytes_of_bits(bits), four);
      _mm256_store_si256(reinterpret_cast<__m256i*>(to + q * 64 + 32 * h),
                         _mm256_add_epi8(_mm256_or_si256(v, negative), raised));
    }
  }
  _mm_prefetch(reinterpret_cast<const char*>(fields + 1024), _MM_HINT_T0);
}

// Of lanes 0 to 7 or 8 to 15, in the low bits.
inline __m256i read_symbols(const uint8_t* fields, size_t h) {
  long long symbols;
  std::memcpy(&symbols, fields + PatchedRows::symbols_at, sizeof(symbols));
  const __m256i places =
      _mm256_add_epi32(_mm256_set_epi32(12, 12, 8, 8, 4, 4, 0, 0), _mm256_set1_epi32(static_cast<int>(16 * h)));
  return _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi64x(symbols), places), _mm256_set1_epi32(15));
}

inline __m256i read_pulses(const uint8_t* bytes, size_t q, size_t h) {
  return _mm256_sub_epi8(load(bytes + q * 64 + 32 * h), _mm256_set1_epi8(PatchedRows::offset));
}

void accumulate(const PatchedRows& rows, const GroupFactors& factors, size_t first, size_t count,
                const SegmentTokens& tokens, float* lanes) {
  const SymbolFactors reader(factors);
  for (size_t row = first; row < first + count; ++row, lanes += block_groups) {
    __m256 sums[2] = {_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes + half_groups)};
    walk_spans(rows, row, unpack, [&](size_t b, const uint8_t* fields, const uint8_t* bytes) {
      const int8_t* x = tokens.values + b * quads * 64;
      for (size_t h = 0; h < 2; ++h) {
        __m256i dot = _mm256_setzero_si256(), square = dot;
        for (size_t q = 0; q < quads; ++q) {
          const __m256i pulses = read_pulses(bytes, q, h), magnitudes = _mm256_abs_epi8(pulses);
          const __m256i inputs = _mm256_sign_epi8(load(x + q * 64 + 32 * h), pulses);
          dot = _mm256_add_epi16(dot, _mm256_maddubs_epi16(magnitudes, inputs));
          square = _mm256_add_epi16(square, _mm256_maddubs_epi16(magnitudes, magnitudes));
        }
        const __m256 factor = reader.read(read_symbols(fields, h), widen(square));
        sums[h] = _mm256_add_ps(sums[h], _mm256_mul_ps(_mm256_cvtepi32_ps(widen(dot)), factor));
      }
    });
    _mm256_storeu_ps(lanes, sums[0]);
    _mm256_storeu_ps(lanes + half_groups, sums[1]);
  }
}

void decode(const PatchedRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  walk_spans(rows, row, unpack, [&](size_t b, const uint8_t* fields, const uint8_t* bytes) {
    for (size_t h = 0; h < 2; ++h) {
      uint32_t symbols[half_groups];
      const __m256i own = read_symbols(fields, h), zero = _mm256_setzero_si256();
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols), own);
      for (size_t lane = 0; lane < half_groups; ++lane) {
        levels[b * block_groups + h * half_groups + lane] = rows.level_of(symbols[lane]);
      }
      const __m256i negated = _mm256_cmpgt_epi32(own, _mm256_set1_epi32(PatchedRows::negated - 1));
      for (size_t q = 0; q < quads; ++q) {
        const __m256i pulse = read_pulses(bytes, q, h);
        const __m256i point = _mm256_blendv_epi8(pulse, _mm256_sub_epi8(zero, pulse), negated);
        _mm256_store_si256(reinterpret_cast<__m256i*>(pulses + (b * quads + q) * 64 + 32 * h),
                           _mm256_xor_si256(point, _mm256_set1_epi8(-128)));
      }
    }
  });
}

}  // namespace

extern const PatchedProductKernel patched_product_avx2;
const PatchedProductKernel patched_product_avx2 = {InstructionSet::avx2, accumulate, decode};

}  // namespace pyramidion
#endif
