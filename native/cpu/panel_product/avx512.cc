// Products of panels with AVX-512 (F, BW, DQ, VL, VNNI): 32 rows with up to six tokens, whose dot products and sums
// stay in registers while a lane's groups pass by.
#if defined(__x86_64__)
#include "cpu/expanded_product/shapes.h"
#include "cpu/panel_product/dispatch.h"
#include "cpu/panel_product/fill_panel.h"
#include "cpu/panel_product/panel_product.h"

namespace pyramidion {
namespace {

// Groups of one lane with Tokens tokens. The pulses of 32 rows are in two registers for a quad of each token.
template <int Quads, int Tokens>
void multiply_groups(const uint8_t* part, size_t groups, const PanelTokens& tokens, bool fresh, RowSums* sums) {
  __m512 all[2][Tokens];
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    for (int h = 0; h < 2; ++h) all[h][t] = fresh ? _mm512_setzero_ps() : reinterpret_cast<__m512>(sums[t].half[h]);
  }
  const int8_t* x = tokens.values;
  for (size_t g = 0; g < groups; ++g, part += panel_group_bytes(Quads), x += 4 * Quads) {
    __m512i dots[2][Tokens];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      dots[0][t] = _mm512_set1_epi32(tokens.corrections[static_cast<size_t>(t) * tokens.correction_stride + g]);
      dots[1][t] = dots[0][t];
    }
#pragma GCC unroll 8
    for (int q = 0; q < Quads; ++q) {
      const __m512i pulses[2] = {_mm512_load_si512(part + q * 64),
                                 _mm512_load_si512(part + panel_half_bytes(Quads) + q * 64)};
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        int32_t quad;
        std::memcpy(&quad, x + static_cast<size_t>(t) * tokens.value_stride + 4 * q, sizeof(quad));
        const __m512i inputs = _mm512_set1_epi32(quad);
        dots[0][t] = _mm512_dpbusd_epi32(dots[0][t], pulses[0], inputs);
        dots[1][t] = _mm512_dpbusd_epi32(dots[1][t], pulses[1], inputs);
      }
    }
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      const __m512 factors = _mm512_load_ps(part + static_cast<size_t>(h) * panel_half_bytes(Quads) + Quads * 64);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        all[h][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[h][t]), factors, all[h][t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    for (int h = 0; h < 2; ++h) sums[t].half[h] = reinterpret_cast<PanelFloats>(all[h][t]);
  }
}

struct Vnni {
  // With the dot products, the sums, the pulses and a quad, 27 registers.
  static constexpr size_t tokens = 6;

  template <int Quads>
  void accumulate(const uint8_t* part, size_t groups, const PanelTokens& inputs, bool fresh, size_t count,
                  RowSums* sums) const {
    switch (count) {
      case 1:
        return multiply_groups<Quads, 1>(part, groups, inputs, fresh, sums);
      case 2:
        return multiply_groups<Quads, 2>(part, groups, inputs, fresh, sums);
      case 3:
        return multiply_groups<Quads, 3>(part, groups, inputs, fresh, sums);
      case 4:
        return multiply_groups<Quads, 4>(part, groups, inputs, fresh, sums);
      case 5:
        return multiply_groups<Quads, 5>(part, groups, inputs, fresh, sums);
      default:
        return multiply_groups<Quads, 6>(part, groups, inputs, fresh, sums);
    }
  }
};

void fill(const ExpandedRows& rows, size_t groups, size_t first, size_t count, uint8_t* part) {
  with_shape(rows, [&](auto shape) {
    using Shape = decltype(shape);
    fill_panel<Shape::quads, Shape::words>(rows, groups, first, count, 0, part);
  });
}

void multiply(const PanelPart* parts, size_t part_count, const PanelTokens* tokens, size_t token_count, float* sums) {
  Vnni unit;
  multiply_panel(unit, parts, part_count, tokens, token_count, sums);
}

}  // namespace

extern const PanelKernel panel_avx512 = {InstructionSet::avx512, fill, multiply};

}  // namespace pyramidion
#endif
