// 16 groups at once with AVX-512.
#if defined(__x86_64__)
#include <type_traits>

#include "cpu/packed_product/dispatch.h"
#include "cpu/residue_product/avx512_residues.h"
#include "cpu/symbol_factors/avx512.h"

namespace pyramidion {
namespace {

template <int Quads, Signs Kept, int Extra>
struct Form {
  using Cursor = ResidueCursor<Quads, Kept, Extra>;
  using Block = Residues<Quads>;
  static constexpr int quads = Quads;
};

template <int Quads, Signs Kept, class Use>
void with_extra(int extra_bits, const Use& use) {
  if (extra_bits == 0) return use(Form<Quads, Kept, 0>());
  if (extra_bits == 1) return use(Form<Quads, Kept, 1>());
  use(Form<Quads, Kept, 2>());
}

template <class Use>
void with_form(const ResidueRows& rows, const Use& use) {
  const bool all = rows.signs == Signs::all;
  if (rows.quads == 2) {
    return all ? with_extra<2, Signs::all>(rows.extra_bits, use) : with_extra<2, Signs::nonzero>(rows.extra_bits, use);
  }
  all ? with_extra<4, Signs::all>(rows.extra_bits, use) : with_extra<4, Signs::nonzero>(rows.extra_bits, use);
}

// K in the first lanes of a block.
inline __m512i pulses_of(const ResidueRows& rows, size_t lanes) {
  return _mm512_maskz_set1_epi32(static_cast<__mmask16>((1u << lanes) - 1), rows.pulses);
}

// FewFours: of at most two, as nearly all rows of D = 8 at 3 bits are.
template <class Form, bool FewFours, class Factors>
void accumulate_row(const ResidueRows& rows, const Factors& factors, size_t row, const int8_t* x, float* lanes) {
  constexpr int quads = Form::quads;
  typename Form::Cursor cursor(rows, row);
  __m512 sum = _mm512_loadu_ps(lanes);
  const auto read = [&](__m512i pulses, typename Form::Block & block) __attribute__((always_inline)) {
    FewFours ? cursor.next_of_few(pulses, block) : cursor.next(pulses, block);
  };
  const auto multiply = [&](typename Form::Block & block, bool partial) __attribute__((always_inline)) {
    cursor.read_signs(block);
    __m512i dot = _mm512_setzero_si512(), square = factors.before_squares();
    for (int q = 0; q < quads; ++q) {
      const __m512i inputs = _mm512_load_si512(x + q * 64);
      const __m512i turned = _mm512_mask_sub_epi8(inputs, block.negative[q], _mm512_setzero_si512(), inputs);
      dot = _mm512_dpbusd_epi32(dot, block.magnitudes[q], turned);
      square = _mm512_dpbusd_epi32(square, block.magnitudes[q], block.magnitudes[q]);
    }
    sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), factors.read(block.symbols, square, partial), sum);
    x += quads * 64;
  };
  // A block is read before the one ahead of it is multiplied, because each step is a long way from the one it needs.
  const size_t last = rows.blocks - 1;
  const __m512i all_pulses = kept(rows.pulses), last_pulses = pulses_of(rows, rows.lanes(last));
  typename Form::Block block, following;
  read(last == 0 ? last_pulses : all_pulses, block);
  for (size_t b = 1; b <= last; ++b, block = following) {
    read(b == last ? last_pulses : all_pulses, following);
    multiply(block, false);
  }
  multiply(block, true);
  _mm512_storeu_ps(lanes, sum);
}

void accumulate(const ResidueRows& rows, const GroupFactors& factors, size_t first, size_t count,
                const SegmentTokens& tokens, float* lanes) {
  with_form(rows, [&](auto form) {
    using Form = decltype(form);
    // Of P(8,K) nearly all points are among the first 32 norms.
    const SymbolFactors<Form::quads> reader(factors);
    for (size_t i = 0; i < count; ++i) {
      const auto add = Form::quads == 2 && rows.row_fours(first + i) <= 2
                           ? accumulate_row<Form, Form::quads == 2, SymbolFactors<Form::quads>>
                           : accumulate_row<Form, false, SymbolFactors<Form::quads>>;
      add(rows, reader, first + i, tokens.values, lanes + i * block_groups);
    }
  });
}

void decode(const ResidueRows& rows, size_t row, uint8_t* pulses, uint16_t* levels) {
  alignas(64) uint32_t level_of[ResidueRows::max_symbols];
  std::copy_n(rows.level_of, ResidueRows::max_symbols, level_of);
  const __m512i all_levels = _mm512_load_si512(level_of);
  with_form(rows, [&](auto form) {
    using Form = decltype(form);
    typename Form::Cursor cursor(rows, row);
    for (size_t b = 0; b < rows.blocks; ++b, pulses += Form::quads * 64, levels += block_groups) {
      typename Form::Block block;
      cursor.next(pulses_of(rows, rows.lanes(b)), block);
      cursor.read_signs(block);
      const __m512i level = _mm512_permutexvar_epi32(block.symbols, all_levels);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(levels), _mm512_cvtepi32_epi16(level));
      for (int q = 0; q < Form::quads; ++q) {
        const __m512i magnitudes = block.magnitudes[q];
        const __m512i point = _mm512_mask_sub_epi8(magnitudes, block.negative[q], _mm512_setzero_si512(), magnitudes);
        _mm512_store_si512(pulses + q * 64, _mm512_xor_si512(point, _mm512_set1_epi8(-128)));
      }
    }
  });
}

}  // namespace

extern const PackedProductKernel<ResidueRows> residue_product_avx512;
const PackedProductKernel<ResidueRows> residue_product_avx512 = {InstructionSet::avx512, accumulate, decode};

}  // namespace pyramidion
#endif
