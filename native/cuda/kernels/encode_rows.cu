// Values to PVQ rows, as native/core/pvq/row_encoder.cc does it and with the same bytes: sums are taken in its order.
// Four kernels, one after another: norms of rows; of each segment its points; row scales, over all segments; of each
// segment its codes.
#include "cuda/kernels/point_index.cuh"
#include "cuda/kernels/pyramid_search.cuh"

namespace pyramidion::cuda {

constexpr double kLargestRowScale = 65504;

// The number of boundaries between levels, at a row scale, that lie below a projection.
__device__ __forceinline__ uint32_t nearest_level(const float* levels, int count, double scale, double projection) {
  int low = 0, high = count - 1;
  while (low < high) {
    const int middle = (low + high) / 2;
    const double boundary = scale * (static_cast<double>(__ldg(levels + middle)) + __ldg(levels + middle + 1)) / 2;
    if (boundary < projection) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return static_cast<uint32_t>(low);
}

// Root mean squares. Eight threads a row, each the sum of every eighth square.
extern "C" __global__ void __launch_bounds__(kEncodeThreads) encode_norms(EncodeNormsParameters p) {
  const uint32_t row = (blockIdx.x * kEncodeThreads + threadIdx.x) / 8, part = threadIdx.x % 8;
  const bool live = row < p.rows;
  const float* values = p.values + static_cast<size_t>(live ? row : 0) * p.columns;
  const uint32_t whole = p.columns / 8 * 8;
  double sum = 0, norm = 0;
  for (uint32_t i = part; i < whole; i += 8) sum += static_cast<double>(values[i]) * values[i];
  for (uint32_t i = whole; i < p.columns; ++i) norm += static_cast<double>(values[i]) * values[i];
  for (int other = 0; other < 8; ++other) norm += __shfl_sync(0xffffffffu, sum, other, 8);
  if (live && part == 0) p.norms[row] = sqrt(norm / static_cast<double>(p.columns));
}

// A thread a group.
template <int D>
__device__ __forceinline__ void encode_points(const EncodePointsParameters& p) {
  const uint32_t group = blockIdx.x * kEncodeThreads + threadIdx.x, row = blockIdx.y;
  const EncodeSegment& segment = p.segment;
  if (group >= segment.groups) return;
  // What pads the last group: see RowEncoder::find_points.
  const float usual = p.row_columns < D ? 0 : static_cast<float>(p.norms[row]);
  const float* values = p.values + static_cast<size_t>(row) * p.row_columns + segment.first_column;
  float w[D], point[D];
#pragma unroll
  for (int i = 0; i < D; ++i) {
    const uint32_t column = group * D + i;
    w[i] = column < segment.columns ? values[column] : usual;
  }
  search_point<D>(w, segment.tables.pulses, point);
  const size_t place = static_cast<size_t>(row) * segment.groups + group;
  double projection = 0;
  int square = 0;
#pragma unroll
  for (int i = 0; i < D; ++i) {
    const int coordinate = static_cast<int>(point[i]);
    segment.points[place * D + i] = static_cast<int16_t>(coordinate);
    projection += static_cast<double>(w[i]) * coordinate;
    square += coordinate * coordinate;
  }
  segment.projections[place] = projection / sqrt(static_cast<double>(square));
}

// The row scale of least squared error for the levels that suit the root mean square. A warp a row: its lanes choose
// the levels of 32 groups, and all add them up, in the groups' order.
extern "C" __global__ void __launch_bounds__(kEncodeThreads) encode_scales(EncodeScalesParameters p) {
  const uint32_t row = (blockIdx.x * kEncodeThreads + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (row >= p.rows) return;
  const double norm = p.norms[row];
  double level_projection = 0, level_square = 0;
  for (uint32_t s = 0; s < p.segment_count; ++s) {
    const EncodeSegment& segment = p.segments[s];
    for (uint32_t first = 0; first < segment.groups; first += 32) {
      double projected = 0, square = 0;
      if (first + lane < segment.groups) {
        const double projection = segment.projections[static_cast<size_t>(row) * segment.groups + first + lane];
        const CodeTables& tables = segment.tables;
        const double level = __ldg(tables.levels + nearest_level(tables.levels, tables.level_count, norm, projection));
        projected = level * projection;
        square = level * level;
      }
      const uint32_t count = segment.groups - first < 32 ? segment.groups - first : 32;
      for (uint32_t from = 0; from < count; ++from) {
        level_projection += __shfl_sync(0xffffffffu, projected, from);
        level_square += __shfl_sync(0xffffffffu, square, from);
      }
    }
  }
  const double refitted = level_square > 0 ? level_projection / level_square : 0;
  const float scale = static_cast<float>(refitted < kLargestRowScale ? refitted : kLargestRowScale);
  if (lane == 0) p.row_scale[row] = norm > 0 ? __half_as_ushort(__float2half_rn(scale)) : 0;
}

// A thread packs eight codes, which are whole bytes.
template <int D>
__device__ __forceinline__ void encode_codes(const EncodeCodesParameters& p) {
  const uint32_t first = (blockIdx.x * kEncodeThreads + threadIdx.x) * 8, row = blockIdx.y;
  const EncodeSegment& segment = p.segment;
  if (first >= segment.groups) return;
  const CodeTables& tables = segment.tables;
  const double scale = __half2float(__ushort_as_half(p.row_scale[row]));
  const uint32_t last = first + 8 < segment.groups ? first + 8 : segment.groups;
  uint8_t* bytes = p.codes + static_cast<size_t>(row) * p.row_bytes + segment.first_byte + first / 8 * tables.bits;
  // The byte that is being filled, and its bits so far.
  uint32_t byte = 0;
  int filled = 0;
  for (uint32_t group = first; group < last; ++group) {
    const size_t place = static_cast<size_t>(row) * segment.groups + group;
    uint64_t code = 0;
    // A row with scale 0 has codes of zero.
    if (scale > 0) {
      const uint32_t level = nearest_level(tables.levels, tables.level_count, scale, segment.projections[place]);
      code = level * tables.count + index_of_point<D>(tables, segment.points + place * D);
    }
    for (int left = tables.bits; left > 0;) {
      const int taken = 8 - filled < left ? 8 - filled : left;
      byte |= (static_cast<uint32_t>(code) & ((1u << taken) - 1)) << filled;
      code >>= taken;
      left -= taken;
      filled += taken;
      if (filled < 8) continue;
      *bytes++ = static_cast<uint8_t>(byte);
      byte = 0;
      filled = 0;
    }
  }
  if (filled > 0) *bytes = static_cast<uint8_t>(byte);
}

extern "C" __global__ void __launch_bounds__(kEncodeThreads) encode_points_d8(EncodePointsParameters p) {
  encode_points<8>(p);
}
extern "C" __global__ void __launch_bounds__(kEncodeThreads) encode_points_d16(EncodePointsParameters p) {
  encode_points<16>(p);
}
extern "C" __global__ void __launch_bounds__(kEncodeThreads) encode_codes_d8(EncodeCodesParameters p) {
  encode_codes<8>(p);
}
extern "C" __global__ void __launch_bounds__(kEncodeThreads) encode_codes_d16(EncodeCodesParameters p) {
  encode_codes<16>(p);
}

}  // namespace pyramidion::cuda
