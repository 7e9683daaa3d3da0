// A unit of panel_product.h that is a matrix unit, which multiplies tiles: of one group at a time, 16 tokens with 16
// rows, over the group's coordinates. Pulses are kept as they are, p signed.
//
// Tiles says what the multiplication is done with:
//   Tiles(depth)                            for groups of `depth` bytes, 4 to 32
//   tiles.products(a, a_stride, b, b_stride, c)
//                                           c[h][t][r] = sum_i a[t][i] b[h][r][i] for two halves h of 16 rows:
//                                           a: 16 tokens x depth, a_stride bytes apart; b: of a half, b_stride bytes
//                                           apart, depth / 4 quads x 16 rows x 4; c: 2 x 16 x 16 int32
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/aligned_buffer.h"
#include "cpu/panel_product/panel_product.h"

namespace pyramidion {
namespace {

template <class Tiles>
struct TileUnit {
  static constexpr size_t tokens = 16;

  template <int Quads>
  void accumulate(const uint8_t* part, size_t groups, const PanelTokens& inputs, bool fresh, size_t count,
                  RowSums* sums) {
    for (size_t t = 0; t < count && fresh; ++t) sums[t] = RowSums{};
    constexpr size_t depth = Quads * 4, half_bytes = panel_half_bytes(Quads);
    Tiles tiles(depth);
    // Tokens that are not there would be read beyond the last.
    int8_t copies[tokens * depth] = {};
    const bool whole = count == tokens;
    for (size_t g = 0; g < groups; ++g, part += 2 * half_bytes) {
      const int8_t* x = inputs.values + g * depth;
      for (size_t t = 0; t < count && !whole; ++t) std::memcpy(copies + t * depth, x + t * inputs.value_stride, depth);
      alignas(64) int32_t products[2][tokens][panel_half];
      tiles.products(whole ? x : copies, whole ? inputs.value_stride : depth, reinterpret_cast<const int8_t*>(part),
                     half_bytes, products[0][0]);
      for (size_t h = 0; h < 2; ++h) {
        PanelFloats factors;
        std::memcpy(&factors, part + h * half_bytes + Quads * 64, sizeof(factors));
        for (size_t t = 0; t < count; ++t) {
          for (size_t row = 0; row < panel_half; ++row) {
            sums[t].half[h][row] =
                __builtin_fmaf(static_cast<float>(products[h][t][row]), factors[row], sums[t].half[h][row]);
          }
        }
      }
    }
  }
};

}  // namespace
}  // namespace pyramidion
