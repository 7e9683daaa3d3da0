// Calibrated rounding of PVQ rows (native/cpu/guided_rounding/dispatch.h), blocked: guided_round takes the groups of a
// block one after another, a row of the matrix a thread, and feeds their errors back inside the block; guided_couple
// then feeds the block's errors back to all other columns, a matrix product. Every accumulator takes its terms in the
// order of the CPU's kernels, products and sums rounded one by one, so that the points are theirs, bit for bit.
#include "cuda/kernels/guided_group.cuh"

namespace pyramidion::cuda {

// Adds what a change of a group's columns contributes to the accumulators of the block's columns from `first` on.
template <int D>
__device__ __forceinline__ void couple_inside(const GuidedRoundParameters& p, const GuidedGroup& group, uint32_t row,
                                              uint32_t first, const float* change) {
#pragma unroll 1
  for (uint32_t column = first; column < p.last_column; ++column) {
    float* accumulator = p.rows.accumulators + static_cast<size_t>(column) * p.rows.count + row;
    float sum = *accumulator;
#pragma unroll
    for (int i = 0; i < D; ++i) {
      sum = fmaf(change[i], __ldg(p.coupling + static_cast<size_t>(group.first_column + i) * p.columns + column), sum);
    }
    *accumulator = sum;
  }
}

template <int D>
__device__ __forceinline__ void round_group(const GuidedRoundParameters& p, const GuidedGroup& group, uint32_t number,
                                            uint32_t row) {
  const GuidedRows& rows = p.rows;
  // In 32 bits: addresses of all columns would not fit the registers.
  const uint32_t count = rows.count, first = group.first_column * count + row;
  float w[D], d[D], a[D], aim[D];
#pragma unroll
  for (int i = 0; i < D; ++i) {
    w[i] = rows.targets[first + i * count];
    d[i] = rows.differences[first + i * count];
    a[i] = rows.accumulators[first + i * count];
  }
#pragma unroll
  for (int j = 0; j < D; ++j) aim[j] = 0;
#pragma unroll 1
  for (int i = 0; i < D; ++i) {
    const float ai = pick(a, i);
#pragma unroll
    for (int j = 0; j < D; ++j) aim[j] = fmaf(ai, __ldg(group.inverse + i * D + j), aim[j]);
  }
#pragma unroll
  for (int j = 0; j < D; ++j) aim[j] += w[j] - d[j];

  float point[D];
  if (p.start != 0) {
    // Moves under the group's metric take the place of those of the Euclidean search.
    search_point<D>(aim, static_cast<int>(group.pulses), point, p.moves == 0);
  } else {
#pragma unroll
    for (int i = 0; i < D; ++i) point[i] = static_cast<float>(rows.points[first + i * count]);
  }
  GuidedSearch<D> search(group, aim, point, rows.scales[row]);
#pragma unroll 1
  for (uint32_t move = 0; move < p.moves && search.move_best_pulse(); ++move) {
  }

  // A group that keeps its code keeps its differences, which a refitted scale may have left elsewhere than here.
  uint16_t* level = rows.levels + static_cast<size_t>(number) * count + row;
  bool changed = p.start != 0 || *level != search.level_index;
#pragma unroll
  for (int i = 0; i < D; ++i) {
    int16_t* pulses = rows.points + first + i * count;
    changed |= *static_cast<const volatile int16_t*>(pulses) != static_cast<int16_t>(search.p[i]);
    *pulses = static_cast<int16_t>(search.p[i]);
  }
  *level = static_cast<uint16_t>(search.level_index);

  float change[D];
#pragma unroll
  for (int i = 0; i < D; ++i) {
    // Read again: all through the search there are no registers for them.
    const float target = *static_cast<const volatile float*>(rows.targets + first + i * count);
    const float before = *static_cast<const volatile float*>(rows.differences + first + i * count);
    const float difference = changed ? target - search.multiplier * search.p[i] : before;
    change[i] = difference - before;
    rows.differences[first + i * count] = difference;
    p.changes[(group.first_column - p.first_column + i) * count + row] = change[i];
  }
  couple_inside<D>(p, group, row, p.backward != 0 ? p.first_column : group.first_column, change);
}

template <int D>
__device__ __forceinline__ void guided_round(const GuidedRoundParameters& p) {
  const uint32_t row = blockIdx.x * kGuidedThreads + threadIdx.x;
  if (row >= p.rows.count) return;
#pragma unroll 1
  for (uint32_t number = p.first_group; number < p.last_group; ++number) {
    const GuidedGroup group = p.groups[number];
    round_group<D>(p, group, number, row);
  }
}

extern "C" __global__ void __launch_bounds__(kGuidedThreads, 4) guided_round_d8(GuidedRoundParameters p) {
  guided_round<8>(p);
}
extern "C" __global__ void __launch_bounds__(kGuidedThreads, 4) guided_round_d16(GuidedRoundParameters p) {
  guided_round<16>(p);
}

// accumulators(column, row) += sum_k changes(k, row) coupling(k, column), k in order. A block takes 64 columns of 64
// rows, a thread 4 x 4.
extern "C" __global__ void __launch_bounds__(kCoupleThreads, 2) guided_couple(GuidedCoupleParameters p) {
  constexpr uint32_t step = 16;
  SHARED_VARIABLE(float[step][kCoupleTile], coupling);
  SHARED_VARIABLE(float[step][kCoupleTile], changes);
  // Blocks count the columns to couple, those left out skipped.
  const auto column_at = [&](uint32_t place) { return place < p.skip_first ? place : place + p.skip_count; };
  const uint32_t first_place = blockIdx.x * kCoupleTile, first_row = blockIdx.y * kCoupleTile;
  const uint32_t places = p.columns - p.skip_count;
  const uint32_t tile_column = threadIdx.x / 16 * 4, tile_row = threadIdx.x % 16 * 4;

  float sums[4][4];
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t place = first_place + tile_column + i, row = first_row + tile_row + j;
      const bool live = place < places && row < p.row_count;
      sums[i][j] = live ? p.accumulators[static_cast<size_t>(column_at(place)) * p.row_count + row] : 0;
    }
  }
  for (uint32_t first = 0; first < p.change_count; first += step) {
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < step * kCoupleTile; i += kCoupleThreads) {
      const uint32_t k = i / kCoupleTile, at = i % kCoupleTile;
      const bool within = first + k < p.change_count;
      const size_t change = p.first_change + first + k;
      coupling[k][at] = within && first_place + at < places
                            ? __ldg(p.coupling + change * p.columns + column_at(first_place + at))
                            : 0;
      changes[k][at] = within && first_row + at < p.row_count
                           ? p.changes[static_cast<size_t>(first + k) * p.row_count + first_row + at]
                           : 0;
    }
    __syncthreads();
    const uint32_t count = p.change_count - first < step ? p.change_count - first : step;
    for (uint32_t k = 0; k < count; ++k) {
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i) {
#pragma unroll
        for (uint32_t j = 0; j < 4; ++j) {
          sums[i][j] = fmaf(changes[k][tile_row + j], coupling[k][tile_column + i], sums[i][j]);
        }
      }
    }
  }
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
#pragma unroll
    for (uint32_t j = 0; j < 4; ++j) {
      const uint32_t place = first_place + tile_column + i, row = first_row + tile_row + j;
      if (place >= places || row >= p.row_count) continue;
      p.accumulators[static_cast<size_t>(column_at(place)) * p.row_count + row] = sums[i][j];
    }
  }
}

}  // namespace pyramidion::cuda
