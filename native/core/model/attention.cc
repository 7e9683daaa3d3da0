#include "core/model/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/aligned_buffer.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Queries whose scores with a tile of keys stay in a core's caches.
constexpr size_t kQueries = 32;

// Parts of a text that are read side by side for few queries. Their number depends on the text alone, so that sums are
// the same for any number of threads.
constexpr size_t kMostParts = 16;

// Of one query and some positions: what the weights, e^(score - largest), are relative to, and their sum.
struct Softmax {
  float largest = -std::numeric_limits<float>::infinity(), sum = 0;
};

// T: float, uint16_t (f16) or int8_t.
template <class T>
class Attention {
 public:
  Attention(const float* query, const KeyValues& key_values, const AttentionShape& shape, const RowKernels<T>& rows,
            float* out)
      : kernels_(float_kernels()),
        rows_(rows),
        query_(query),
        key_values_(key_values),
        shape_(shape),
        out_(out),
        group_(shape.heads / shape.key_value_heads),
        row_stride_(shape.heads * shape.head_dimension),
        scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(shape.head_dimension)))) {}

  void run(ThreadPool& pool) const {
    if (shape_.tokens * group_ < 8) return run_in_parts(pool);
    const size_t blocks = (shape_.tokens + kQueries - 1) / kQueries;
    pool.parallel_for(blocks * shape_.key_value_heads, 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) {
        // The last queries see most keys: start with them.
        const size_t first = (blocks - 1 - i / shape_.key_value_heads) * kQueries;
        run_block(first, std::min(shape_.tokens, first + kQueries), i % shape_.key_value_heads);
      }
    });
  }

 private:
  // Keys or values of a head from a position on, up to the end of its tile.
  struct Rows {
    const T* values;
    const float* scales;
  };

  // Few queries, as in generation: threads share out parts of the text, and what they have summed up is put together.
  void run_in_parts(ThreadPool& pool) const {
    const size_t width = shape_.head_dimension, queries = shape_.tokens * shape_.heads;
    const size_t first_tile = first_visible(0) / kKeyValueTile;
    const size_t tiles = (shape_.past + shape_.tokens + kKeyValueTile - 1) / kKeyValueTile - first_tile;
    const size_t part_tiles = (tiles + kMostParts - 1) / kMostParts, parts = (tiles + part_tiles - 1) / part_tiles;
    std::vector<Softmax> softmaxes(parts * queries);
    AlignedBuffer<float> sums(parts * queries * width);
    std::fill_n(sums.data(), parts * queries * width, 0.0f);
    // A turn of a thread should be worth waking it for: some ten thousand multiplications.
    const size_t grain = std::max<size_t>(1, 16384 / ((shape_.past + shape_.tokens) / parts * group_ * width + 1));
    pool.parallel_for(parts * shape_.key_value_heads, grain, [&](size_t begin, size_t end) {
      AlignedBuffer<float> scores(group_ * kKeyValueTile);
      for (size_t i = begin; i < end; ++i) {
        const size_t part = i / shape_.key_value_heads, key_value_head = i % shape_.key_value_heads;
        const size_t low = (first_tile + part * part_tiles) * kKeyValueTile, high = low + part_tiles * kKeyValueTile;
        for (size_t token = 0; token < shape_.tokens; ++token) {
          const size_t row = part * queries + token * shape_.heads + key_value_head * group_;
          read_part(token, key_value_head, std::max(low, first_visible(token)), std::min(high, end_visible(token)),
                    scores.data(), &softmaxes[row], sums.data() + row * width);
        }
      }
    });
    for (size_t query = 0; query < queries; ++query) {
      Softmax whole;
      for (size_t part = 0; part < parts; ++part) {
        whole.largest = std::max(whole.largest, softmaxes[part * queries + query].largest);
      }
      float* out = out_ + query * width;
      std::fill_n(out, width, 0.0f);
      for (size_t part = 0; part < parts; ++part) {
        const size_t row = part * queries + query;
        const float factor = std::exp(softmaxes[row].largest - whole.largest);
        whole.sum += factor * softmaxes[row].sum;
        kernels_.f32.add_scaled(factor, sums.data() + row * width, out, width);
      }
      kernels_.scale(1 / whole.sum, out, width);
    }
  }

  // Positions [begin, end) for the queries of a token that share a key/value head.
  void read_part(size_t token, size_t key_value_head, size_t begin, size_t end, float* scores, Softmax* softmaxes,
                 float* sums) const {
    const size_t width = shape_.head_dimension;
    const float* query = query_ + token * row_stride_ + key_value_head * group_ * width;
    for (size_t next; begin < end; begin = next) {
      next = std::min(end, end_of_tile(begin));
      const size_t count = next - begin;
      const Rows keys = keys_from(begin, key_value_head), values = values_from(begin, key_value_head);
      rows_.dots(query, group_, keys.values, key_values_.row_stride, count, width, scale_, scores);
      for (size_t member = 0; member < group_; ++member) {
        float* own = scores + member * count;
        if (keys.scales != nullptr) kernels_.multiply(own, keys.scales, own, count);
        soften(own, count, softmaxes[member], sums + member * width);
        if (values.scales != nullptr) kernels_.multiply(own, values.scales, own, count);
      }
      rows_.add_weighted(scores, group_, values.values, key_values_.row_stride, count, width, sums);
    }
  }

  // Queries [first, last) of the heads that share one key/value head, over tiles of keys.
  void run_block(size_t first, size_t last, size_t key_value_head) const {
    const ProductKernels<float>& product = kernels_.f32;
    const size_t width = shape_.head_dimension, queries = last - first, rows = group_ * queries;
    const auto padded = [&](size_t count) { return (count + product.panel - 1) / product.panel * product.panel; };
    AlignedBuffer<float> key_panels(padded(kKeyValueTile) * width), value_panels(padded(width) * kKeyValueTile);
    AlignedBuffer<float> scores(rows * kKeyValueTile), floats(kKeyValueTile * width);
    std::vector<Softmax> softmaxes(rows);
    for (size_t row = 0; row < rows; ++row) std::fill_n(out_row(first, queries, key_value_head, row), width, 0.0f);

    const size_t end = end_visible(last - 1);
    for (size_t begin = first_visible(first), next; begin < end; begin = next) {
      next = std::min(end, end_of_tile(begin));
      const size_t count = next - begin;
      with_floats(keys_from(begin, key_value_head), count, floats.data(), [&](const float* keys, size_t stride) {
        product.pack(keys, stride, 1, count, width, key_panels.data());
      });
      with_floats(values_from(begin, key_value_head), count, floats.data(), [&](const float* values, size_t stride) {
        product.pack(values, 1, stride, width, count, value_panels.data());
      });
      for (size_t member = 0; member < group_; ++member) {
        const size_t offset = first * row_stride_ + (key_value_head * group_ + member) * width;
        float* block = scores.data() + member * queries * kKeyValueTile;
        product.multiply(query_ + offset, row_stride_, 1, queries, key_panels.data(), count, width, scale_, false,
                         block, kKeyValueTile, 1);
        for (size_t i = 0; i < queries; ++i) {
          const size_t row = member * queries + i;
          soften_visible(first + i, begin, count, block + i * kKeyValueTile, softmaxes[row],
                         out_row(first, queries, key_value_head, row));
        }
        product.multiply(block, kKeyValueTile, 1, queries, value_panels.data(), width, count, 1.0f, true, out_ + offset,
                         row_stride_, 1);
      }
    }
    for (size_t row = 0; row < rows; ++row) {
      kernels_.scale(1 / softmaxes[row].sum, out_row(first, queries, key_value_head, row), width);
    }
  }

  // Calls use(rows, stride) with rows as floats, in the buffer where they are not yet.
  template <class Use>
  void with_floats(const Rows& rows, size_t count, float* buffer, const Use& use) const {
    if constexpr (std::is_same_v<T, float>) {
      use(rows.values, key_values_.row_stride);
    } else {
      const size_t width = shape_.head_dimension;
      for (size_t row = 0; row < count; ++row) {
        rows_.widen(rows.values + row * key_values_.row_stride, width, buffer + row * width);
        if (rows.scales != nullptr) kernels_.scale(rows.scales[row], buffer + row * width, width);
      }
      use(buffer, width);
    }
  }

  size_t first_visible(size_t token) const {
    const size_t position = shape_.past + token;
    return shape_.window == 0 || position < shape_.window ? 0 : position + 1 - shape_.window;
  }
  size_t end_visible(size_t token) const { return shape_.past + token + 1; }
  static size_t end_of_tile(size_t position) { return (position / kKeyValueTile + 1) * kKeyValueTile; }

  Rows keys_from(size_t position, size_t head) const {
    return rows_from(key_values_.keys, key_values_.key_scales, position, head);
  }
  Rows values_from(size_t position, size_t head) const {
    return rows_from(key_values_.values, key_values_.value_scales, position, head);
  }
  Rows rows_from(const void* all, const float* scales, size_t position, size_t head) const {
    const size_t in_tile = position % kKeyValueTile, before = (position - in_tile) * shape_.key_value_heads;
    const size_t offset = before * shape_.head_dimension + head * key_values_.head_stride;
    return {static_cast<const T*>(all) + offset + in_tile * key_values_.row_stride,
            scales == nullptr ? nullptr : scales + before + head * kKeyValueTile + in_tile};
  }

  float* out_row(size_t first, size_t queries, size_t key_value_head, size_t row) const {
    const size_t head = key_value_head * group_ + row / queries;
    return out_ + (first + row % queries) * row_stride_ + head * shape_.head_dimension;
  }

  // Of a tile that begins at a position, with weights of zero where the token does not see.
  void soften_visible(size_t token, size_t begin, size_t count, float* scores, Softmax& softmax, float* sums) const {
    const size_t low = std::clamp(first_visible(token), begin, begin + count) - begin;
    const size_t high = std::clamp(end_visible(token), begin + low, begin + count) - begin;
    std::fill_n(scores, low, 0.0f);
    std::fill_n(scores + high, count - high, 0.0f);
    if (high > low) soften(scores + low, high - low, softmax, sums);
  }

  // Turns scores into weights relative to the largest score so far, and rescales what was summed up relative to the old
  // one.
  void soften(float* scores, size_t count, Softmax& softmax, float* sums) const {
    const float largest = std::max(softmax.largest, kernels_.maximum(scores, count));
    const float factor = std::exp(softmax.largest - largest);
    softmax.sum = softmax.sum * factor + kernels_.exponentials(scores, count, largest);
    if (factor != 1.0f) kernels_.scale(factor, sums, shape_.head_dimension);
    softmax.largest = largest;
  }

  const FloatKernels& kernels_;
  const RowKernels<T>& rows_;
  const float* query_;
  KeyValues key_values_;
  AttentionShape shape_;
  float* out_;
  size_t group_, row_stride_;
  float scale_;
};

}  // namespace

void attention(const float* query, const KeyValues& key_values, const AttentionShape& shape, float* out,
               ThreadPool& pool) {
  const FloatKernels& kernels = float_kernels();
  switch (key_values.format) {
    case KeyValueFormat::f32:
      return Attention(query, key_values, shape, kernels.f32_rows, out).run(pool);
    case KeyValueFormat::f16:
      return Attention(query, key_values, shape, kernels.f16_rows, out).run(pool);
    case KeyValueFormat::int8:
      return Attention(query, key_values, shape, kernels.int8_rows, out).run(pool);
  }
}

}  // namespace pyramidion
