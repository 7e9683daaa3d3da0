// The decoder that is obviously right: one code at a time, with PyramidCounts and in double.
#pragma once

#include <cmath>
#include <vector>

#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"
#include "core/pvq/pvq_code.h"

inline std::vector<double> reference_decode(const pyramidion::PvqLayout& layout, const std::vector<uint8_t>& codes,
                                            const std::vector<uint16_t>& row_scale) {
  std::vector<double> values;
  const uint8_t* bytes = codes.data();
  for (uint16_t half : row_scale) {
    for (const pyramidion::PvqCode& code : layout.codes) {
      std::vector<uint64_t> unpacked(code.groups);
      pyramidion::unpack_codes(bytes, code.groups, code.bits, unpacked.data());
      bytes += code.bytes;
      for (size_t g = 0; g < code.groups; ++g) {
        int16_t point[32];
        code.points->point_of(unpacked[g] % code.count(), point);
        double square = 0;
        for (int i = 0; i < code.dimension; ++i) square += static_cast<double>(point[i]) * point[i];
        const double level = code.levels[unpacked[g] / code.count()];
        for (size_t i = 0; i < static_cast<size_t>(code.dimension) && g * code.dimension + i < code.columns; ++i) {
          values.push_back(pyramidion::half_to_float(half) * level * point[i] / std::sqrt(square));
        }
      }
    }
  }
  return values;
}
