// Inputs of integer products: tokens as int8 with one float scale each, in the order in which the kernels read them.
//
// A segment's groups are taken in blocks of 16, a group in each lane; a group's coordinates four at a time (a quad), of
// which there is one for D <= 4. Of a token, a block holds quad 0 of its 16 groups, then quad 1, and so on; what is not
// there is zero.
//
// The product of a row and a token, the same bits on every processor and for every memory layout:
//
//   lane[l] = sum over the segments' blocks, in order, of float(<p, q>) * (level * (1 / ||p||)),   p and q of the group
//   in lane l, y = row scale * sum of the lanes * token scale,
//
// <p, q> an exact integer, products added by fused multiply-adds, the lanes in the order of sum_lanes().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/parallel/thread_pool.h"
#include "core/pvq/pvq_code.h"
#include "core/pvq/row_panel.h"

namespace pyramidion {

constexpr size_t block_groups = 16;

static inline size_t blocks_of(const PvqCode& code) { return (code.groups + block_groups - 1) / block_groups; }
static inline int quads_of(const PvqCode& code) { return code.dimension < 4 ? 1 : code.dimension / 4; }

// What a kernel is given of a segment.
struct SegmentTokens {
  size_t count;
  // From a token to the next.
  size_t value_stride, correction_stride;
  // 64-byte aligned: blocks x quads x 16 x 4.
  const int8_t* values;
  // 64-byte aligned: blocks x 16, -8 times the sum of a group's inputs; products with pulses kept as p + 8 begin with
  // it.
  const int32_t* corrections;

  SegmentTokens slice(size_t first, size_t tokens) const {
    return {tokens, value_stride, correction_stride, values + first * value_stride,
            corrections + first * correction_stride};
  }

  // Without the blocks before `begin`, of `quads` quads each.
  SegmentTokens from_block(size_t begin, int quads) const {
    return {count, value_stride, correction_stride, values + begin * static_cast<size_t>(quads) * block_groups * 4,
            corrections + begin * block_groups};
  }
};

// How values are ordered: block by block as above, or as panels of rows are (row_panel.h).
enum class TokenOrder { blocks, panels };

class IntegerTokens {
 public:
  // x: tokens x layout.columns. The largest magnitude of a token becomes 127; a token that is not finite has the scale
  // NaN.
  IntegerTokens(const PvqLayout& layout, const float* x, size_t tokens, TokenOrder order, ThreadPool& pool);

  TokenOrder order() const { return order_; }
  size_t count() const { return scales_.size(); }
  float scale(size_t token) const { return scales_[token]; }
  // In blocks.
  SegmentTokens segment(size_t index, size_t first, size_t count) const;
  // In the order of panels, from the token `first` on.
  PanelTokens panel_segment(size_t index, size_t first) const;

 private:
  // Where a segment's part of a token starts, the end behind the last one; in blocks and in quads of 64 bytes.
  struct Place {
    size_t block, quad;
  };
  static std::vector<Place> places_of(const PvqLayout& layout);
  void convert(const PvqLayout& layout, const float* x, size_t token);

  TokenOrder order_;
  std::vector<Place> places_;
  std::vector<float> scales_;
  size_t value_stride_, correction_stride_;
  AlignedBuffer<int8_t> values_;
  AlignedBuffer<int32_t> corrections_;
};

// Whether tokens made for one of the layouts are those of the other: the groups are the same, whatever their codes.
bool same_token_order(const PvqLayout& a, const PvqLayout& b);

// sums[i] = the sum of the 16 lanes at lanes + 16 i: halves are added until one is left.
void sum_lanes(const float* lanes, size_t count, float* sums);

}  // namespace pyramidion
