#include "core/model/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/aligned_buffer.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Queries and keys of a tile; its scores stay in a core's caches.
constexpr size_t kQueries = 32, kKeys = 128;

class Attention {
 public:
  Attention(const float* query, const float* keys, const float* values, const AttentionShape& shape, float* out)
      : kernels_(float_kernels()),
        product_(kernels_.f32),
        query_(query),
        keys_(keys),
        values_(values),
        shape_(shape),
        out_(out),
        group_(shape.heads / shape.key_value_heads),
        row_stride_(shape.heads * shape.head_dimension),
        key_stride_(shape.key_value_heads * shape.head_dimension),
        scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(shape.head_dimension)))) {}

  // One query of one head: scores, softmax, weighted sum. For generation, where a tile would have one row.
  void single(size_t token, size_t head) const {
    const size_t width = shape_.head_dimension, first = first_visible(token), last = shape_.past + token + 1;
    const size_t offset = head / group_ * width;
    const float* query = query_ + token * row_stride_ + head * width;
    float* out = out_ + token * row_stride_ + head * width;
    AlignedBuffer<float> scores(last - first);
    const size_t count = last - first, seen = first * key_stride_ + offset;
    kernels_.row_dots(query, keys_ + seen, key_stride_, count, width, scale_, scores.data());
    const float sum = kernels_.exponentials(scores.data(), count, kernels_.maximum(scores.data(), count));
    kernels_.weighted_row_sum(scores.data(), values_ + seen, key_stride_, count, width, out);
    kernels_.scale(1 / sum, out, width);
  }

  // Queries [first, last) of the heads that share one key/value head, over tiles of keys with a running maximum and sum
  // (FlashAttention, arXiv 2205.14135, algorithm 1).
  void tile(size_t first, size_t last, size_t key_value_head) const {
    const size_t width = shape_.head_dimension, queries = last - first, rows = group_ * queries;
    const size_t panel = product_.panel;
    const auto padded = [panel](size_t count) { return (count + panel - 1) / panel * panel; };
    AlignedBuffer<float> key_panels(padded(kKeys) * width), value_panels(padded(width) * kKeys), scores(rows * kKeys);
    std::vector<float> largest(rows, -std::numeric_limits<float>::infinity()), sums(rows, 0.0f);
    for (size_t row = 0; row < rows; ++row) std::fill_n(out_row(first, queries, key_value_head, row), width, 0.0f);

    const size_t end = shape_.past + last;
    for (size_t begin = first_visible(first); begin < end; begin += kKeys) {
      const size_t count = std::min(kKeys, end - begin), offset = begin * key_stride_ + key_value_head * width;
      product_.pack(keys_ + offset, key_stride_, 1, count, width, key_panels.data());
      product_.pack(values_ + offset, 1, key_stride_, width, count, value_panels.data());
      for (size_t member = 0; member < group_; ++member) {
        const size_t head = key_value_head * group_ + member;
        const float* query = query_ + first * row_stride_ + head * width;
        float* block = scores.data() + member * queries * kKeys;
        product_.multiply(query, row_stride_, 1, queries, key_panels.data(), count, width, scale_, false, block, kKeys,
                          1);
        for (size_t i = 0; i < queries; ++i) {
          const size_t row = member * queries + i;
          soften(first + i, begin, count, block + i * kKeys, largest[row], sums[row],
                 out_row(first, queries, key_value_head, row));
        }
        product_.multiply(block, kKeys, 1, queries, value_panels.data(), width, count, 1.0f, true,
                          out_ + first * row_stride_ + head * width, row_stride_, 1);
      }
    }
    for (size_t row = 0; row < rows; ++row) {
      kernels_.scale(1 / sums[row], out_row(first, queries, key_value_head, row), width);
    }
  }

  size_t group() const { return group_; }

 private:
  size_t first_visible(size_t token) const {
    const size_t position = shape_.past + token;
    return shape_.window == 0 || position < shape_.window ? 0 : position + 1 - shape_.window;
  }

  float* out_row(size_t first, size_t queries, size_t key_value_head, size_t row) const {
    const size_t head = key_value_head * group_ + row / queries;
    return out_ + (first + row % queries) * row_stride_ + head * shape_.head_dimension;
  }

  // Turns a row of scores into weights relative to the largest score so far, zero where the query does not see, and
  // rescales what the row has summed up under the old largest score.
  void soften(size_t token, size_t begin, size_t count, float* scores, float& largest, float& sum, float* out) const {
    const size_t low = std::max(first_visible(token), begin) - begin;
    const size_t high = std::min(shape_.past + token + 1, begin + count);
    if (high <= begin + low) {
      std::fill_n(scores, count, 0.0f);
      return;
    }
    const size_t visible = high - begin - low;
    const float new_largest = std::max(largest, kernels_.maximum(scores + low, visible));
    const float factor = std::exp(largest - new_largest);
    std::fill_n(scores, low, 0.0f);
    std::fill_n(scores + low + visible, count - low - visible, 0.0f);
    sum = sum * factor + kernels_.exponentials(scores + low, visible, new_largest);
    if (factor != 1.0f) kernels_.scale(factor, out, shape_.head_dimension);
    largest = new_largest;
  }

  const FloatKernels& kernels_;
  const ProductKernels<float>& product_;
  const float *query_, *keys_, *values_;
  AttentionShape shape_;
  float* out_;
  size_t group_, row_stride_, key_stride_;
  float scale_;
};

}  // namespace

void attention(const float* query, const float* keys, const float* values, const AttentionShape& shape, float* out,
               ThreadPool& pool) {
  const Attention work(query, keys, values, shape, out);
  if (shape.tokens * work.group() < 8) {
    // A turn of a thread should be worth waking it for: some ten thousand multiplications.
    const size_t grain = std::max<size_t>(1, 8192 / ((shape.past + shape.tokens) * shape.head_dimension));
    pool.parallel_for(shape.tokens * shape.heads, grain, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) work.single(i / shape.heads, i % shape.heads);
    });
    return;
  }
  const size_t blocks = (shape.tokens + kQueries - 1) / kQueries;
  pool.parallel_for(blocks * shape.key_value_heads, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      // The last queries see most keys: start with them.
      const size_t first = (blocks - 1 - i / shape.key_value_heads) * kQueries;
      work.tile(first, std::min(shape.tokens, first + kQueries), i % shape.key_value_heads);
    }
  });
}

}  // namespace pyramidion
