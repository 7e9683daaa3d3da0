// The product with many tokens: y = W x + B t + bias, of rows that decode_rows.cu made halves, on the tensor cores. A
// block takes a tile of rows and tokens, in steps of 64 columns, of which some are on their way to shared memory while
// one is multiplied. Where tiles are fewer than a device has work for, several blocks share the columns of one, and a
// kernel of its own adds their sums in order. Row scales, the tokens' scales and the low-rank term come in single
// precision at the end. What a half loses of a weight, 2^-11 of it, is what the result loses.
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/async_copy.cuh"
#include "cuda/kernels/tensor_core.cuh"

namespace pyramidion::cuda {

constexpr uint32_t kChunk = 8;
constexpr uint32_t kChunks = kHalfGemmStep / kChunk;
// Ranks of the low-rank term taken at a time.
constexpr int kRanks = 16;

// Sides of a block's tile, and of a warp's in it; whether several blocks may share its columns.
template <int Rows, int Tokens, int WarpRows, int WarpTokens, int Stages, bool InParts>
struct Tile {
  static constexpr int rows = Rows, tokens = Tokens, stages = Stages;
  static constexpr bool in_parts = InParts;
  static constexpr int threads = Rows / WarpRows * (Tokens / WarpTokens) * 32;
  // Products of 16 rows by 8 tokens.
  static constexpr int high = WarpRows / 16, wide = WarpTokens / 8;
  static_assert(wide % 2 == 0, "tokens are loaded sixteen at a time");

  __device__ __forceinline__ static uint32_t first_row() { return threadIdx.x / 32 % (Rows / WarpRows) * WarpRows; }
  __device__ __forceinline__ static uint32_t first_token() { return threadIdx.x / 32 / (Rows / WarpRows) * WarpTokens; }
};

// A step's columns of one row or token are eight chunks of 16 bytes; chunk c of row r stands at c ^ r, modulo eight, so
// that the same chunk of eight rows lies in different banks.
__device__ __forceinline__ uint32_t chunk_place(uint32_t row, uint32_t chunk) {
  return row * kHalfGemmStep + (chunk ^ (row % kChunks)) * kChunk;
}

// A thread's share in the copies of a tile's rows, or tokens: the same chunk of every step, of Count rows that lie a
// stride apart. What can be reckoned once is, as copies are many and the tensor cores fast.
template <int Side, int Threads>
class Copier {
 public:
  static constexpr uint32_t count = Side * kChunks / Threads, stride = Threads / kChunks;
  static_assert(stride % kChunks == 0, "the chunks of a thread stand at the same place of their rows");

  // rows: how many there are behind `from`, at least one; columns from the first on.
  __device__ __forceinline__ Copier(const __half* from, size_t row_stride, uint32_t rows, uint32_t first_column) {
    const uint32_t row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
    place_ = chunk_place(row, chunk);
#pragma unroll
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t at = row + i * stride;
      live_ |= (at < rows ? 1u : 0u) << i;
      from_[i] = from + (at < rows ? at : 0) * row_stride + first_column + chunk * kChunk;
    }
  }

  // Begins the copies of the next step; bytes: of this thread's chunk, zeros follow.
  __device__ __forceinline__ void next(__half* to, uint32_t bytes, AsyncCopies& copies) {
#pragma unroll
    for (uint32_t i = 0; i < count; ++i) {
      copies.copy(to + place_ + i * stride * kHalfGemmStep, from_[i], (live_ >> i & 1) != 0 ? bytes : 0);
      from_[i] += kHalfGemmStep;
    }
  }

 private:
  const __half* from_[count];
  uint32_t place_, live_ = 0;
};

// Copies one step after the other, rows of weights, then tokens; zeros beyond the last column, row and token.
template <class Tile>
class StepCopier {
 public:
  __device__ __forceinline__ StepCopier(const HalfGemmParameters& p, uint32_t first_column)
      : weights_(static_cast<const __half*>(p.weights) + size_t{blockIdx.x} * Tile::rows * p.weight_stride,
                 p.weight_stride, p.outputs.rows - blockIdx.x * Tile::rows, first_column),
        tokens_(static_cast<const __half*>(p.outputs.x.values) + size_t{blockIdx.y} * Tile::tokens * p.outputs.x.stride,
                p.outputs.x.stride, p.outputs.tokens - blockIdx.y * Tile::tokens, first_column),
        columns_(static_cast<int>(p.columns - first_column) - static_cast<int>(threadIdx.x % kChunks * kChunk)) {}

  __device__ __forceinline__ void next(__half* step, AsyncCopies& copies) {
    const int columns = columns_ < 0 ? 0 : columns_ < static_cast<int>(kChunk) ? columns_ : static_cast<int>(kChunk);
    weights_.next(step, static_cast<uint32_t>(columns) * 2, copies);
    tokens_.next(step + Tile::rows * kHalfGemmStep, static_cast<uint32_t>(columns) * 2, copies);
    columns_ -= static_cast<int>(kHalfGemmStep);
  }

 private:
  Copier<Tile::rows, Tile::threads> weights_;
  Copier<Tile::tokens, Tile::threads> tokens_;
  // From this thread's chunk to the last column.
  int columns_;
};

template <class Tile>
__device__ __forceinline__ void multiply_step(__half* step, float (&sums)[Tile::high][Tile::wide][4]) {
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (uint32_t k = 0; k < kChunks; k += 2) {
    uint32_t a[Tile::high][4];
#pragma unroll
    for (int m = 0; m < Tile::high; ++m) {
      load_matrices(a[m], step + chunk_place(Tile::first_row() + m * 16 + lane % 16, k + lane / 16));
    }
#pragma unroll
    for (int n = 0; n < Tile::wide; n += 2) {
      const uint32_t token = Tile::first_token() + n * 8 + lane % 8 + lane / 16 * 8;
      uint32_t b[4];
      load_matrices(b, step + chunk_place(Tile::rows + token, k + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < Tile::high; ++m) {
        multiply_accumulate(sums[m][n], a[m], {b[0], b[1]});
        multiply_accumulate(sums[m][n + 1], a[m], {b[2], b[3]});
      }
    }
  }
}

// Of the sums' elements: which row of the block's tile, and which token.
template <class Tile>
__device__ __forceinline__ uint32_t row_of(int m, int element) {
  return Tile::first_row() + m * 16 + threadIdx.x % 32 / 4 + (element >= 2 ? 8 : 0);
}
template <class Tile>
__device__ __forceinline__ uint32_t token_of(int n, int element) {
  return Tile::first_token() + n * 8 + threadIdx.x % 4 * 2 + element % 2;
}

// Calls action(sum, row, token) for the sums that belong to outputs.
template <class Tile, class Action>
__device__ __forceinline__ void each_output(const GemvOutputs& p, float (&sums)[Tile::high][Tile::wide][4],
                                            Action action) {
#pragma unroll
  for (int m = 0; m < Tile::high; ++m) {
#pragma unroll
    for (int n = 0; n < Tile::wide; ++n) {
#pragma unroll
      for (int element = 0; element < 4; ++element) {
        const uint32_t row = blockIdx.x * Tile::rows + row_of<Tile>(m, element);
        const uint32_t token = blockIdx.y * Tile::tokens + token_of<Tile>(n, element);
        if (row < p.rows && token < p.tokens) action(sums[m][n][element], row, token);
      }
    }
  }
}

// Adds B t, a few ranks at a time: B's columns, then t's, in `shared`.
template <class Tile>
__device__ __forceinline__ void add_low_rank(const GemvOutputs& p, float* shared,
                                             float (&sums)[Tile::high][Tile::wide][4]) {
  float* factor = shared;
  float* projected = shared + kRanks * (Tile::rows + 1);
  const uint32_t first_row = blockIdx.x * Tile::rows, first_token = blockIdx.y * Tile::tokens;
  for (uint32_t first = 0; first < p.up.rank; first += kRanks) {
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < kRanks * Tile::rows; i += Tile::threads) {
      const uint32_t k = i % kRanks, row = i / kRanks;
      const bool live = first + k < p.up.rank && first_row + row < p.rows;
      factor[k * (Tile::rows + 1) + row] = live ? up_factor(p.up, first_row + row, first + k) : 0;
    }
    for (uint32_t i = threadIdx.x; i < kRanks * Tile::tokens; i += Tile::threads) {
      const uint32_t k = i % kRanks, token = i / kRanks;
      const bool live = first + k < p.up.rank && first_token + token < p.tokens;
      projected[k * (Tile::tokens + 1) + token] =
          live ? __ldg(p.up.projected + static_cast<size_t>(first_token + token) * p.up.rank + first + k) : 0;
    }
    __syncthreads();
    for (int k = 0; k < kRanks; ++k) {
      const float* row_factor = factor + k * (Tile::rows + 1);
      const float* token_value = projected + k * (Tile::tokens + 1);
#pragma unroll
      for (int m = 0; m < Tile::high; ++m) {
#pragma unroll
        for (int n = 0; n < Tile::wide; ++n) {
#pragma unroll
          for (int element = 0; element < 4; ++element) {
            sums[m][n][element] = fmaf(row_factor[row_of<Tile>(m, element)], token_value[token_of<Tile>(n, element)],
                                       sums[m][n][element]);
          }
        }
      }
    }
  }
}

// Where a part's sums go. What is there once an output is in the first part, but for what was in y before.
template <class Tile>
__device__ __forceinline__ GemvOutputs outputs_of_part(const HalfGemmParameters& p, uint32_t part) {
  GemvOutputs outputs = p.outputs;
  if (!Tile::in_parts || p.parts == 1) return outputs;
  outputs.y = p.partial + static_cast<size_t>(part) * outputs.tokens * outputs.rows;
  outputs.y_stride = outputs.rows;
  outputs.accumulate = 0;
  if (part > 0) {
    outputs.up.rank = 0;
    outputs.bias = nullptr;
  }
  return outputs;
}

template <class Tile>
__device__ __forceinline__ void half_gemm(const HalfGemmParameters& p) {
  constexpr uint32_t stages = Tile::stages;
  SHARED_DYNAMIC(__half, shared);
  constexpr uint32_t step_size = (Tile::rows + Tile::tokens) * kHalfGemmStep;
  uint32_t first_step = 0, steps = (p.columns + kHalfGemmStep - 1) / kHalfGemmStep;
  if constexpr (Tile::in_parts) {
    first_step = blockIdx.z * p.part_steps;
    const uint32_t left = steps - first_step;
    steps = left < p.part_steps ? left : p.part_steps;
  }
  AsyncCopies copies;
  StepCopier<Tile> copier(p, first_step * kHalfGemmStep);
  // A group a step, though it be empty, so that the number of groups tells which step has come.
  for (uint32_t step = 0; step + 1 < stages; ++step) {
    if (step < steps) copier.next(shared + step * step_size, copies);
    copies.commit();
  }
  float sums[Tile::high][Tile::wide][4] = {};
  for (uint32_t step = 0; step < steps; ++step) {
    copies.wait<stages - 2>();
    // Behind it, too, every warp has done with the step whose place the next copies take.
    __syncthreads();
    const uint32_t next = step + stages - 1;
    if (next < steps) copier.next(shared + next % stages * step_size, copies);
    copies.commit();
    multiply_step<Tile>(shared + step % stages * step_size, sums);
  }
  // What follows uses their memory.
  copies.wait<0>();

  const GemvOutputs outputs = outputs_of_part<Tile>(p, blockIdx.z);
  each_output<Tile>(outputs, sums, [&](float& sum, uint32_t row, uint32_t token) {
    sum *= __half2float(__ushort_as_half(__ldg(outputs.row_scale + row))) * token_scale(outputs.x, token);
  });
  add_low_rank<Tile>(outputs, reinterpret_cast<float*>(shared), sums);
  each_output<Tile>(outputs, sums, [&](float& sum, uint32_t row, uint32_t token) {
    float result = sum;
    if (outputs.bias != nullptr) result += __ldg(outputs.bias + row);
    float* y = outputs.y + static_cast<size_t>(token) * outputs.y_stride + row;
    *y = outputs.accumulate != 0 ? *y + result : result;
  });
}

using SmallTile = Tile<kSmallTile.side, kSmallTile.side, 32, 32, kSmallTile.stages, true>;
using LargeTile = Tile<kLargeTile.side, kLargeTile.side, 64, 32, kLargeTile.stages, false>;
static_assert(SmallTile::threads == kSmallTile.threads && LargeTile::threads == kLargeTile.threads,
              "as they are launched");

extern "C" __global__ void __launch_bounds__(SmallTile::threads, 4) half_gemm_small(HalfGemmParameters p) {
  half_gemm<SmallTile>(p);
}
extern "C" __global__ void __launch_bounds__(LargeTile::threads, 1) half_gemm_large(HalfGemmParameters p) {
  half_gemm<LargeTile>(p);
}

extern "C" __global__ void __launch_bounds__(kHalfGemmSumThreads) half_gemm_sum(HalfGemmParameters p) {
  const uint32_t row = blockIdx.x * kHalfGemmSumThreads + threadIdx.x, token = blockIdx.y;
  if (row >= p.outputs.rows) return;
  const size_t place = static_cast<size_t>(token) * p.outputs.rows + row;
  const size_t part = static_cast<size_t>(p.outputs.tokens) * p.outputs.rows;
  float* y = p.outputs.y + static_cast<size_t>(token) * p.outputs.y_stride + row;
  float sum = p.outputs.accumulate != 0 ? *y : 0;
  for (uint32_t i = 0; i < p.parts; ++i) sum += __ldg(p.partial + i * part + place);
  *y = sum;
}

}  // namespace pyramidion::cuda
