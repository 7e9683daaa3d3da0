// A PVQ layer of random codes: what a product costs does not depend on what the weights mean.
#pragma once

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "core/linear/rotation.h"
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
  pyramidion::Rotation rotation;

  RandomLayer(size_t row_count, size_t columns, int dimension, int pulses, int level_count,
              pyramidion::PyramidCache& cache, std::mt19937_64& random)
      : layout(columns, {segment(columns, dimension, pulses, level_count)}, cache),
        rows(row_count),
        codes(row_count * layout.row_bytes),
        row_scale(row_count),
        rotation(random_rotation(columns, random)) {
    const pyramidion::PvqCode& code = layout.codes.front();
    std::vector<uint64_t> values(code.groups);
    for (size_t row = 0; row < rows; ++row) {
      for (uint64_t& value : values) value = random() % (code.count() * code.levels.size());
      pyramidion::pack_codes(values.data(), values.size(), code.bits, codes.data() + row * layout.row_bytes);
      row_scale[row] = pyramidion::float_to_half(0.5f + static_cast<float>(random() % 1000) / 1000);
    }
  }

  std::unique_ptr<pyramidion::cuda::PvqProduct> upload(bool int8, bool expanded, pyramidion::ThreadPool& pool) const {
    pyramidion::cuda::PvqProductParts parts{};
    parts.rows = rows;
    parts.layout = &layout;
    parts.codes = codes.data();
    parts.row_scale = row_scale.data();
    parts.rotation = &rotation;
    parts.int8 = int8;
    parts.expanded = expanded;
    return std::make_unique<pyramidion::cuda::PvqProduct>(parts, pool);
  }

 private:
  // As lib/linear/rotation.ts splits a width; any matrix costs the same.
  static pyramidion::Rotation random_rotation(size_t columns, std::mt19937_64& random) {
    unsigned block_log2 = 0;
    size_t order = columns;
    for (; order % 2 == 0; order /= 2) ++block_log2;
    if (order > 1 && order < 32) order *= 4, block_log2 -= 2;
    std::vector<int8_t> signs(columns);
    for (int8_t& sign : signs) sign = random() % 2 == 0 ? 1 : -1;
    std::vector<float> matrix(order > 1 ? order * order : 0);
    const auto entry = static_cast<float>(1 / std::sqrt(static_cast<double>(order)));
    for (float& value : matrix) value = random() % 2 == 0 ? entry : -entry;
    return {signs, block_log2, matrix};
  }

  static pyramidion::PvqSegment segment(size_t columns, int dimension, int pulses, int level_count) {
    std::vector<float> levels;
    for (int i = 0; i < level_count; ++i) levels.push_back(2.0f + static_cast<float>(i) / 2);
    return {columns, dimension, pulses, levels};
  }
};

}  // namespace bench
