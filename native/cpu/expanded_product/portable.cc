// The definition of the product, group by group, for any processor.
#include <cmath>

#include "cpu/expanded_product/dispatch.h"

namespace pyramidion {
namespace {

bool supports(const ExpandedRows&) { return true; }

void accumulate(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  const size_t width = 4 * static_cast<size_t>(rows.quads);
  for (size_t row = first; row < first + count; ++row, lanes += tokens.count * block_groups) {
    ExpandedReader reader(rows, row);
    for (size_t b = 0; b < rows.blocks; ++b) {
      int8_t pulses[block_groups * PyramidCounts::max_dimension];
      uint32_t tags[block_groups];
      reader.next(pulses, tags);
      for (size_t lane = 0; lane < block_groups; ++lane) {
        const int8_t* p = pulses + lane * width;
        int square = 0;
        for (size_t i = 0; i < width; ++i) square += p[i] * p[i];
        const float factor = group_factor(rows.factors->levels[rows.level(tags[lane])], static_cast<float>(square));
        for (size_t t = 0; t < tokens.count; ++t) {
          const int8_t* x = tokens.values + t * tokens.value_stride + b * block_groups * width + lane * 4;
          int dot = 0;
          for (size_t i = 0; i < width; ++i) dot += p[i] * x[i / 4 * 64 + i % 4];
          float& sum = lanes[t * block_groups + lane];
          sum = std::fma(static_cast<float>(dot), factor, sum);
        }
      }
    }
  }
}

}  // namespace

extern const ExpandedProductKernel expanded_product_portable = {InstructionSet::portable, supports, accumulate};

}  // namespace pyramidion
