// The product with many tokens: y = W x + B t + bias, of rows that decode_rows.cu made halves, on the tensor cores. A
// block takes a tile of rows and tokens, in steps of 64 columns, of which some are on their way to shared memory while
// one is multiplied. Row scales, the tokens' scales and the low-rank term come in single precision at the end. What a
// half loses of a weight, 2^-11 of it, is what the result loses.
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/async_copy.cuh"
#include "cuda/kernels/tensor_core.cuh"

namespace pyramidion::cuda {

constexpr uint32_t kChunk = 8;
constexpr uint32_t kChunks = kHalfGemmStep / kChunk;
// Ranks of the low-rank term taken at a time.
constexpr int kRanks = 16;

// Sides of a block's tile, and of a warp's in it. Slices: as many sets of warps share the columns of a step, so that a
// processor has work to do while others wait.
template <int Rows, int Tokens, int WarpRows, int WarpTokens, int Slices, int Stages>
struct Tile {
  static constexpr int rows = Rows, tokens = Tokens, slices = Slices, stages = Stages;
  static constexpr int slice_threads = Rows / WarpRows * (Tokens / WarpTokens) * 32, threads = slice_threads * Slices;
  // Products of 16 rows by 8 tokens.
  static constexpr int high = WarpRows / 16, wide = WarpTokens / 8;
  static_assert(wide % 2 == 0, "tokens are loaded sixteen at a time");
  static_assert(kChunks / 2 % Slices == 0, "every slice has its share of a step");

  __device__ __forceinline__ static uint32_t slice() { return threadIdx.x / slice_threads; }
  __device__ __forceinline__ static uint32_t first_row() { return threadIdx.x / 32 % (Rows / WarpRows) * WarpRows; }
  __device__ __forceinline__ static uint32_t first_token() {
    return threadIdx.x % slice_threads / 32 / (Rows / WarpRows) * WarpTokens;
  }
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

  // rows: how many there are behind `from`, at least one.
  __device__ __forceinline__ Copier(const __half* from, size_t row_stride, uint32_t rows) {
    const uint32_t row = threadIdx.x / kChunks, chunk = threadIdx.x % kChunks;
    place_ = chunk_place(row, chunk);
#pragma unroll
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t at = row + i * stride;
      live_ |= (at < rows ? 1u : 0u) << i;
      from_[i] = from + (at < rows ? at : 0) * row_stride + chunk * kChunk;
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
  __device__ __forceinline__ explicit StepCopier(const HalfGemmParameters& p)
      : weights_(static_cast<const __half*>(p.weights) + size_t{blockIdx.x} * Tile::rows * p.weight_stride,
                 p.weight_stride, p.outputs.rows - blockIdx.x * Tile::rows),
        tokens_(static_cast<const __half*>(p.outputs.x.values) + size_t{blockIdx.y} * Tile::tokens * p.outputs.x.stride,
                p.outputs.x.stride, p.outputs.tokens - blockIdx.y * Tile::tokens),
        columns_(static_cast<int>(p.columns) - static_cast<int>(threadIdx.x % kChunks * kChunk)) {}

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
  for (uint32_t share = 0; share < kChunks; share += 2 * Tile::slices) {
    const uint32_t k = share + 2 * Tile::slice();
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

// Adds the other slices' sums to the first's, in their order, through `shared`.
template <class Tile>
__device__ __forceinline__ void add_slices(float* shared, float (&sums)[Tile::high][Tile::wide][4]) {
  constexpr uint32_t count = Tile::high * Tile::wide * 4;
  float* own = shared + threadIdx.x % Tile::slice_threads;
  __syncthreads();
  if (Tile::slice() > 0) {
#pragma unroll
    for (uint32_t i = 0; i < count; ++i) {
      own[((Tile::slice() - 1) * count + i) * Tile::slice_threads] =
          sums[i / 4 / Tile::wide][i / 4 % Tile::wide][i % 4];
    }
  }
  __syncthreads();
  if (Tile::slice() > 0) return;
  for (uint32_t slice = 1; slice < Tile::slices; ++slice) {
#pragma unroll
    for (uint32_t i = 0; i < count; ++i) {
      sums[i / 4 / Tile::wide][i / 4 % Tile::wide][i % 4] += own[((slice - 1) * count + i) * Tile::slice_threads];
    }
  }
}

// Calls action(sum, row, token) for the sums that belong to outputs; the first slice has them.
template <class Tile, class Action>
__device__ __forceinline__ void each_output(const GemvOutputs& p, float (&sums)[Tile::high][Tile::wide][4],
                                            Action action) {
  if (Tile::slice() > 0) return;
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

template <class Tile>
__device__ __forceinline__ void half_gemm(const HalfGemmParameters& p) {
  constexpr uint32_t stages = Tile::stages;
  SHARED_DYNAMIC(__half, shared);
  constexpr uint32_t step_size = (Tile::rows + Tile::tokens) * kHalfGemmStep;
  const uint32_t steps = (p.columns + kHalfGemmStep - 1) / kHalfGemmStep;
  AsyncCopies copies;
  StepCopier<Tile> copier(p);
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

  const GemvOutputs& outputs = p.outputs;
  if constexpr (Tile::slices > 1) add_slices<Tile>(reinterpret_cast<float*>(shared), sums);
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

using SmallTile = Tile<kSmallTile.side, kSmallTile.side, 32, 32, 4, kSmallTile.stages>;
using LargeTile = Tile<kLargeTile.side, kLargeTile.side, 64, 32, 1, kLargeTile.stages>;
static_assert(SmallTile::threads == kSmallTile.threads && LargeTile::threads == kLargeTile.threads,
              "as they are launched");

extern "C" __global__ void __launch_bounds__(SmallTile::threads, 1) half_gemm_small(HalfGemmParameters p) {
  half_gemm<SmallTile>(p);
}
extern "C" __global__ void __launch_bounds__(LargeTile::threads, 1) half_gemm_large(HalfGemmParameters p) {
  half_gemm<LargeTile>(p);
}

}  // namespace pyramidion::cuda
