#include <algorithm>

#include "core/aligned_buffer.h"
#include "core/linalg/product.h"
#include "core/linear/linear.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Rows of W decoded at a time: the depth that product() packs at a time.
constexpr size_t kSlabRows = 512;
constexpr size_t kDecodeGrain = 16;
// Rows of the gradient at W computed at a time: a multiple of 12, which the product kernels' blocks of rows divide.
constexpr size_t kTileRows = 48;

}  // namespace

void Linear::backward(const float* gradient, size_t tokens, float* out, bool rotated, bool accumulate,
                      ThreadPool& pool) const {
  if (tokens == 0) return;
  const size_t in = in_features(), rows = out_features(), rank = parts_.a ? parts_.a->rows() : 0;
  // What is to be turned back first is computed beside what is to be added to.
  const bool turn = parts_.rotation && !rotated, beside = turn && accumulate;
  AlignedBuffer<float> separate(beside ? tokens * in : 0);
  float* result = beside ? separate.data() : out;
  AlignedBuffer<float> slab(std::min(kSlabRows, rows) * in);
  for (size_t first = 0; first < rows; first += kSlabRows) {
    const size_t count = std::min(kSlabRows, rows - first);
    pool.parallel_for(count, kDecodeGrain, [&](size_t begin, size_t end) {
      parts_.weights->decode_rows(first + begin, end - begin, slab.data() + begin * in, in);
    });
    product<float>({gradient + first, tokens, count, rows, 1}, {slab.data(), count, in}, 1,
                   first > 0 || (accumulate && !beside), {result, tokens, in}, pool);
  }
  if (rank > 0) {
    AlignedBuffer<float> a(rank * in), b(rows * rank), projected(tokens * rank);
    parts_.a->decode_rows(0, rank, a.data(), in);
    parts_.b->decode_rows(0, rows, b.data(), rank);
    product<float>({gradient, tokens, rows}, {b.data(), rows, rank}, 1, false, {projected.data(), tokens, rank}, pool);
    product<float>({projected.data(), tokens, rank}, {a.data(), rank, in}, 1, true, {result, tokens, in}, pool);
  }
  if (turn) parts_.rotation->apply(result, tokens, true, pool);
  if (beside) {
    pool.parallel_for(tokens, 16, [&](size_t begin, size_t end) {
      float_kernels().f32.add_scaled(1, result + begin * in, out + begin * in, (end - begin) * in);
    });
  }
}

// The gradient at W, sum over tokens of g q^T, is computed a tile of rows at a time and never kept.
ScaleGradients Linear::scale_gradients(const float* x, const float* gradient, size_t tokens, ThreadPool& pool) const {
  const ProductKernels<float>& product = float_kernels().f32;
  const PvqMatrix& weights = *pvq();
  const size_t in = in_features(), rows = out_features(), levels = weights.levels().size();
  AlignedBuffer<float> inputs(tokens * in);
  std::copy_n(x, tokens * in, inputs.data());
  if (parts_.rotation) parts_.rotation->apply(inputs.data(), tokens, false, pool);
  if (parts_.activations) parts_.activations->apply(inputs.data(), tokens, pool);
  const size_t panels = (in + product.panel - 1) / product.panel;
  AlignedBuffer<float> packed(panels * product.panel * tokens);
  pool.parallel_for(panels, 4, [&](size_t begin, size_t end) {
    const size_t first = begin * product.panel;
    product.pack(inputs.data() + first, 1, in, std::min(in, end * product.panel) - first, tokens, packed.data() + first * tokens);
  });
  const size_t tiles = (rows + kTileRows - 1) / kTileRows;
  ScaleGradients result{std::vector<double>(rows), std::vector<double>(levels)};
  std::vector<double> shares(tiles * levels);
  pool.parallel_for(tiles, 1, [&](size_t begin, size_t end) {
    AlignedBuffer<float> factors(kTileRows * tokens), tile(kTileRows * in);
    for (size_t index = begin; index < end; ++index) {
      const size_t first = index * kTileRows, count = std::min(kTileRows, rows - first);
      for (size_t t = 0; t < tokens; ++t) {
        std::copy_n(gradient + t * rows + first, count, factors.data() + t * kTileRows);
      }
      product.multiply(factors.data(), 1, kTileRows, count, packed.data(), in, tokens, 1, false, tile.data(), in, 1);
      weights.scale_gradients(first, count, tile.data(), result.row_scale.data() + first,
                              shares.data() + index * levels);
    }
  });
  for (size_t index = 0; index < tiles; ++index) {
    for (size_t level = 0; level < levels; ++level) result.levels[level] += shares[index * levels + level];
  }
  return result;
}

}  // namespace pyramidion
