#include "core/model/attention_backward.h"

#include <algorithm>
#include <cmath>

#include "core/aligned_buffer.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Queries of a tile. Keys of a tile are a multiple of every instruction set's panel.
constexpr size_t kQueries = 64, kKeys = 128;

// With S = scale Q K^T, P = softmax(S) over the keys a query sees, O = P V and dX the gradient at X:
//   dV = P^T dO,   dP = dO V^T,   dS = P (dP - rowsum(P dP)),   dQ = scale dS K,   dK = scale dS^T Q
// (FlashAttention, arXiv 2205.14135, appendix B.2).
class AttentionBackward {
 public:
  AttentionBackward(const float* query, const float* keys, const float* values, const float* gradient,
                    const AttentionShape& shape, float* query_gradient)
      : kernels_(float_kernels()),
        product_(kernels_.f32),
        query_(query),
        keys_(keys),
        values_(values),
        gradient_(gradient),
        shape_(shape),
        query_gradient_(query_gradient),
        width_(shape.head_dimension),
        row_stride_(shape.heads * shape.head_dimension),
        key_stride_(shape.key_value_heads * shape.head_dimension),
        scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(shape.head_dimension)))) {}

  // One head: its query gradient in place, its shares of the gradients at its key/value head as tokens x D.
  void head(size_t index, float* key_gradient, float* value_gradient) const {
    const size_t tokens = shape_.tokens, column = index * width_;
    const size_t key_column = index / (shape_.heads / shape_.key_value_heads) * width_;
    const size_t rows = std::min(kQueries, tokens);
    // Keys and values as right factors of Q K^T and dO V^T, and keys once more, a tile at a time, as that of dS K.
    AlignedBuffer<float> key_panels(padded(tokens) * width_), value_panels(padded(tokens) * width_);
    AlignedBuffer<float> turned_panels(padded(width_) * tokens);
    product_.pack(keys_ + key_column, key_stride_, 1, tokens, width_, key_panels.data());
    product_.pack(values_ + key_column, key_stride_, 1, tokens, width_, value_panels.data());
    for (size_t key = 0; key < tokens; key += kKeys) {
      product_.pack(keys_ + key * key_stride_ + key_column, 1, key_stride_, width_, std::min(kKeys, tokens - key),
                    turned_panels.data() + key * padded(width_));
    }
    AlignedBuffer<float> probabilities(rows * tokens), scores(rows * tokens), left_panels(padded(width_) * rows);
    std::fill_n(key_gradient, tokens * width_, 0.0f);
    std::fill_n(value_gradient, tokens * width_, 0.0f);

    for (size_t first = 0; first < tokens; first += kQueries) {
      const size_t count = std::min(kQueries, tokens - first), end = first + count;
      const size_t begin = first_visible(first) / kKeys * kKeys, seen = end - begin;
      const float* query = query_ + first * row_stride_ + column;
      const float* gradient = gradient_ + first * row_stride_ + column;
      product_.multiply(query, row_stride_, 1, count, key_panels.data() + begin * width_, seen, width_, scale_, false,
                        probabilities.data(), tokens, 1);
      product_.multiply(gradient, row_stride_, 1, count, value_panels.data() + begin * width_, seen, width_, 1, false,
                        scores.data(), tokens, 1);
      for (size_t i = 0; i < count; ++i) {
        soften(first + i, begin, seen, probabilities.data() + i * tokens, scores.data() + i * tokens);
      }
      for (size_t key = begin; key < end; key += kKeys) {
        product_.multiply(scores.data() + (key - begin), tokens, 1, count, turned_panels.data() + key * padded(width_),
                          width_, std::min(kKeys, tokens - key), scale_, key > begin,
                          query_gradient_ + first * row_stride_ + column, row_stride_, 1);
      }
      product_.pack(gradient, 1, row_stride_, width_, count, left_panels.data());
      product_.multiply(probabilities.data(), 1, tokens, seen, left_panels.data(), width_, count, 1, true,
                        value_gradient + begin * width_, width_, 1);
      product_.pack(query, 1, row_stride_, width_, count, left_panels.data());
      product_.multiply(scores.data(), 1, tokens, seen, left_panels.data(), width_, count, scale_, true,
                        key_gradient + begin * width_, width_, 1);
    }
  }

 private:
  size_t padded(size_t count) const { return (count + product_.panel - 1) / product_.panel * product_.panel; }

  size_t first_visible(size_t token) const {
    return shape_.window == 0 || token < shape_.window ? 0 : token + 1 - shape_.window;
  }

  // A row of scores S becomes P, and the row of dP becomes dS; both zero where the query does not see, up to the end of
  // the last tile of keys that holds one of the `seen` keys.
  void soften(size_t token, size_t begin, size_t seen, float* scores, float* gradient) const {
    const size_t low = std::max(first_visible(token), begin) - begin, high = token + 1 - begin;
    const size_t stored = std::min((seen + kKeys - 1) / kKeys * kKeys, shape_.tokens - begin);
    const float sum =
        kernels_.exponentials(scores + low, high - low, kernels_.maximum(scores + low, high - low));
    kernels_.scale(1 / sum, scores + low, high - low);
    std::fill_n(scores, low, 0.0f);
    std::fill_n(scores + high, stored - high, 0.0f);
    const float mean = kernels_.f32.dot(scores + low, gradient + low, high - low);
    for (size_t key = low; key < high; ++key) gradient[key] = scores[key] * (gradient[key] - mean);
    std::fill_n(gradient, low, 0.0f);
    std::fill_n(gradient + high, stored - high, 0.0f);
  }

  const FloatKernels& kernels_;
  const ProductKernels<float>& product_;
  const float *query_, *keys_, *values_, *gradient_;
  AttentionShape shape_;
  float* query_gradient_;
  size_t width_, row_stride_, key_stride_;
  float scale_;
};

}  // namespace

void attention_backward(const float* query, const float* keys, const float* values, const float* gradient,
                        const AttentionShape& shape, float* query_gradient, float* key_gradient, float* value_gradient,
                        ThreadPool& pool) {
  const AttentionBackward work(query, keys, values, gradient, shape, query_gradient);
  const size_t width = shape.head_dimension, size = shape.tokens * width, group = shape.heads / shape.key_value_heads;
  AlignedBuffer<float> shares(2 * shape.heads * size);
  pool.parallel_for(shape.heads, 1, [&](size_t begin, size_t end) {
    for (size_t head = begin; head < end; ++head) {
      work.head(head, shares.data() + 2 * head * size, shares.data() + (2 * head + 1) * size);
    }
  });
  // The heads of a group in their order, whatever thread each was computed by.
  pool.parallel_for(2 * shape.key_value_heads, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const size_t key_value_head = i / 2;
      float* target = i % 2 == 0 ? key_gradient : value_gradient;
      for (size_t token = 0; token < shape.tokens; ++token) {
        float* out = target + (token * shape.key_value_heads + key_value_head) * width;
        std::fill_n(out, width, 0.0f);
        for (size_t member = 0; member < group; ++member) {
          const size_t head = key_value_head * group + member;
          float_kernels().f32.add_scaled(1, shares.data() + (2 * head + i % 2) * size + token * width, out, width);
        }
      }
    }
  });
}

}  // namespace pyramidion
