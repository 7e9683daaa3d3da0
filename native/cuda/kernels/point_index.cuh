// Points to indices, the inverse of point.cuh.
#pragma once

#include "cuda/kernels/point.cuh"

namespace pyramidion::cuda {

struct NodeIndex {
  uint32_t pulses;
  uint64_t index;
};

template <class Coordinate>
__device__ __forceinline__ NodeIndex pair_index(const Coordinate* point) {
  const int left = point[0], right = point[1];
  const uint32_t j = static_cast<uint32_t>(left < 0 ? -left : left);
  const uint32_t rest = static_cast<uint32_t>(right < 0 ? -right : right);
  const uint32_t index = (j == 0 ? 0 : 4 * j - 2) + (left < 0 ? (rest == 0 ? 1 : 2) : 0) + (right < 0 ? 1 : 0);
  return {j + rest, index};
}

template <class Coordinate>
__device__ __forceinline__ NodeIndex quad_index(const Coordinate* point) {
  const NodeIndex left = pair_index(point), right = pair_index(point + 2);
  const uint32_t k = left.pulses + right.pulses, j = left.pulses;
  const uint32_t offset = j == 0 ? 0 : 4 * k + third(8 * j * (j - 1) * (3 * k + 1 - 2 * j));
  return {k, offset + left.index * count2(right.pulses) + right.index};
}

// Of dimension 8; offsets(k): the node's row.
template <class Coordinate, class Offsets>
__device__ __forceinline__ NodeIndex eight_index(const Coordinate* point, const Offsets& offsets) {
  const NodeIndex left = quad_index(point), right = quad_index(point + 4);
  const uint32_t k = left.pulses + right.pulses;
  return {k, __ldg(offsets(k) + left.pulses) + left.index * count4(right.pulses) + right.index};
}

template <int D, class Coordinate>
__device__ __forceinline__ uint64_t index_of_point(const CodeTables& tables, const Coordinate* point) {
  if constexpr (D == 8) {
    return eight_index(point, [&](uint32_t) { return tables.offsets8; }).index;
  } else {
    const auto row = [&](uint32_t k) { return tables.offsets8 + k * (k + 1) / 2; };
    const NodeIndex left = eight_index(point, row), right = eight_index(point + 8, row);
    return __ldg(tables.offsets16 + left.pulses) + left.index * __ldg(tables.counts8 + right.pulses) + right.index;
  }
}

}  // namespace pyramidion::cuda
