// A PVQ layer of random codes: what a product costs does not depend on what the weights mean.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"
#include "core/pvq/pvq_matrix.h"
#include "cuda/linear/pvq_product.h"

namespace bench {

struct RandomLayer {
  pyramidion::PvqLayout layout;
  size_t rows;
  std::vector<uint8_t> codes;
  std::vector<uint16_t> row_scale;

  RandomLayer(size_t row_count, size_t columns, int dimension, int pulses, int level_count,
              pyramidion::PyramidCache& cache, std::mt19937_64& random)
      : layout(columns, {segment(columns, dimension, pulses, level_count)}, cache),
        rows(row_count),
        codes(row_count * layout.row_bytes),
        row_scale(row_count) {
    const pyramidion::PvqCode& code = layout.codes.front();
    std::vector<uint64_t> values(code.groups);
    for (size_t row = 0; row < rows; ++row) {
      for (uint64_t& value : values) value = random() % (code.count() * code.levels.size());
      pyramidion::pack_codes(values.data(), values.size(), code.bits, codes.data() + row * layout.row_bytes);
      row_scale[row] = pyramidion::float_to_half(0.5f + static_cast<float>(random() % 1000) / 1000);
    }
  }

  std::unique_ptr<pyramidion::cuda::PvqProduct> upload(bool int8) const {
    pyramidion::cuda::PvqProductParts parts{};
    parts.rows = rows;
    parts.layout = &layout;
    parts.codes = codes.data();
    parts.row_scale = row_scale.data();
    parts.int8 = int8;
    return std::make_unique<pyramidion::cuda::PvqProduct>(parts);
  }

 private:
  static pyramidion::PvqSegment segment(size_t columns, int dimension, int pulses, int level_count) {
    std::vector<float> levels;
    for (int i = 0; i < level_count; ++i) levels.push_back(2.0f + static_cast<float>(i) / 2);
    return {columns, dimension, pulses, levels};
  }
};

}  // namespace bench
