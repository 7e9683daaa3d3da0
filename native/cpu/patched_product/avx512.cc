// 16 groups at once with AVX-512, one in each lane. As in expanded_product/avx512_blocks.h, with u = p + 32,
//   <p, q> = <u, q> - 32 sum q   (the tokens come with -8 sum q),   sum p^2 = <u, u - 64> + 16 32^2.
#if defined(__x86_64__)
#include "cpu/symbol_factors/avx512.h"
#include "cpu/packed_product/dispatch.h"
#include "cpu/patched_product/span_walk.h"

namespace pyramidion {
namespace {

constexpr int quads = PatchedRows::quads;
static_assert(PatchedRows::offset == 32 && quads == 4, "the sums above");

// Fields are read in order, but with so much to do between two reads that the processor does not get far enough ahead.
constexpr size_t fields_prefetch = 2048;

class Unpacker {
 public:
  void operator()(const uint8_t* fields, uint8_t* to) const {
    __m512i low = _mm512_loadu_si512(fields);
    for (int q = 0; q < quads; ++q) {
      __mmask64 not_negative;
      std::memcpy(&not_negative, fields + PatchedRows::plane_at + 8 * q, sizeof(not_negative));
      // (low & 3) | 28, which has none of its bits.
      const __m512i u = _mm512_ternarylogic_epi32(low, threes_, negative_, 0xea);
      _mm512_store_si512(to + q * 64, _mm512_mask_add_epi8(u, not_negative, u, fours_));
      low = _mm512_srli_epi32(low, 2);
    }
    _mm_prefetch(reinterpret_cast<const char*>(fields + fields_prefetch), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(fields + fields_prefetch + 64), _MM_HINT_T0);
  }

 private:
  const __m512i threes_ = kept(0x03030303), negative_ = kept(0x1c1c1c1c), fours_ = kept(0x04040404);
};

inline __m512i read_symbols(const uint8_t* fields) {
  int64_t symbols;
  std::memcpy(&symbols, fields + PatchedRows::symbols_at, sizeof(symbols));
  const __m512i places = _mm512_set_epi32(28, 28, 24, 24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0);
  return _mm512_srlv_epi32(_mm512_set1_epi64(symbols), places);
}

void accumulate(const PatchedRows& rows, const GroupFactors& factors, size_t first, size_t count,
                const SegmentTokens& tokens, float* lanes) {
  const SymbolFactors<4> reader(factors);
  const Unpacker unpack;
  const __m512i before_squares = kept(_mm512_add_epi32(reader.before_squares(), _mm512_set1_epi32(16 * 32 * 32)));
  const __m512i twice = kept(0x40404040), low_four = kept(15);
  for (size_t row = first; row < first + count; ++row, lanes += block_groups) {
    __m512 sum = _mm512_loadu_ps(lanes);
    walk_spans<uint8_t>(rows, row, unpack, [&](size_t b, const uint8_t* fields, const uint8_t* bytes) {
      const int8_t* x = tokens.values + b * quads * 64;
      __m512i dot = _mm512_slli_epi32(_mm512_load_si512(tokens.corrections + b * block_groups), 2);
      __m512i square = before_squares;
      for (int q = 0; q < quads; ++q) {
        const __m512i u = _mm512_load_si512(bytes + q * 64);
        dot = _mm512_dpbusd_epi32(dot, u, _mm512_load_si512(x + q * 64));
        square = _mm512_dpbusd_epi32(square, u, _mm512_sub_epi8(u, twice));
      }
      const __m512i symbols = _mm512_and_si512(read_symbols(fields), low_four);
      sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), reader.read(symbols, square, b + 1 == rows.blocks), sum);
    });
    _mm512_storeu_ps(lanes, sum);
  }
}

void decode(const PatchedRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  walk_spans<uint8_t>(rows, row, Unpacker(), [&](size_t b, const uint8_t* fields, const uint8_t* bytes) {
    const __m512i symbols = read_symbols(fields), offset = _mm512_set1_epi8(PatchedRows::offset);
    const __m512i level = _mm512_and_si512(symbols, _mm512_set1_epi32(PatchedRows::negated - 1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(levels + b * block_groups), _mm512_cvtepi32_epi16(level));
    const __mmask16 negated = _mm512_test_epi32_mask(symbols, _mm512_set1_epi32(PatchedRows::negated));
    for (int q = 0; q < quads; ++q) {
      const __m512i u = _mm512_load_si512(bytes + q * 64);
      const __m512i point = _mm512_mask_mov_epi32(_mm512_sub_epi8(u, offset), negated, _mm512_sub_epi8(offset, u));
      _mm512_store_si512(pulses + (b * quads + static_cast<size_t>(q)) * 64,
                         _mm512_xor_si512(point, _mm512_set1_epi8(-128)));
    }
  });
}

}  // namespace

extern const PackedProductKernel<PatchedRows> patched_product_avx512;
const PackedProductKernel<PatchedRows> patched_product_avx512 = {InstructionSet::avx512, accumulate, decode};

}  // namespace pyramidion
#endif
