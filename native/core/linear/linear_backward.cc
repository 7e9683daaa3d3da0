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

}  // namespace pyramidion
