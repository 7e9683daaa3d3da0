#include "core/linear/linear.h"

#include <algorithm>
#include <atomic>

#include "core/aligned_buffer.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Up to this many tokens, decoding a row again for each costs less than decoding it to memory.
constexpr size_t kFewTokens = 4;

// A decoded tile of rows stays well inside a core's second-level cache.
constexpr size_t kTileBytes = size_t{256} << 10;

// Rows a tile: a multiple of 12, which the product kernels' blocks of rows divide.
size_t tile_rows(size_t columns) { return std::clamp<size_t>(kTileBytes / sizeof(float) / columns / 12 * 12, 24, 96); }

// Rows one thread takes at a time, a few turns each so that a slow thread does not hold up the rest.
size_t row_grain(size_t rows, size_t threads) { return std::max<size_t>(8, rows / (threads * 4)); }

// Vectors packed for products, b(j, k) = x[j * depth + k]; a panel for each thread at a time.
AlignedBuffer<float> pack_rows(const float* x, size_t rows, size_t depth, ThreadPool& pool) {
  const ProductKernels<float>& product = float_kernels().f32;
  const size_t panels = (rows + product.panel - 1) / product.panel;
  AlignedBuffer<float> packed(panels * product.panel * depth);
  pool.parallel_for(panels, 1, [&](size_t begin, size_t end) {
    const size_t first = begin * product.panel, last = std::min(rows, end * product.panel);
    product.pack(x + first * depth, depth, 1, last - first, depth, packed.data() + begin * product.panel * depth);
  });
  return packed;
}

}  // namespace

Linear::Linear(LinearParts parts)
    : parts_(std::move(parts)), integer_(parts_.activations && parts_.activations->integers() ? pvq() : nullptr) {}

size_t Linear::bytes() const {
  size_t total = parts_.weights->bytes() + parts_.bias.size() * sizeof(float);
  if (parts_.a) total += parts_.a->bytes() + parts_.b->bytes();
  return total;
}

void Linear::forward(const float* x, size_t tokens, float* y, bool prepared, ThreadPool& pool) const {
  if (tokens == 0) return;
  if (parts_.device && (!parts_.activations || parts_.device->int8_inputs())) {
    return parts_.device->multiply(x, tokens, y, prepared, pool);
  }
  const bool prepare = !prepared && (parts_.rotation || parts_.activations);
  const AlignedBuffer<float> inputs = prepare ? this->prepared(x, tokens, pool) : AlignedBuffer<float>(0);
  if (prepare) x = inputs.data();
  if (parts_.device) {
    parts_.device->multiply(x, tokens, y, true, pool);
  } else if (integer_ != nullptr) {
    forward_integer({this}, x, tokens, {y}, pool);
  } else if (tokens <= kFewTokens) {
    forward_few(x, tokens, y, pool);
  } else {
    forward_many(x, tokens, y, pool);
  }
}

void Linear::forward_together(const std::vector<const Linear*>& layers, const float* x, size_t tokens,
                              const std::vector<float*>& y, ThreadPool& pool) {
  if (tokens == 0) return;
  const LinearParts& first = layers.front()->parts_;
  bool alike = true, integers = true;
  for (const Linear* layer : layers) {
    alike &= layer->parts_.rotation == first.rotation && layer->parts_.activations == first.activations &&
             layer->parts_.device == nullptr;
    integers &= layer->integer_ != nullptr;
  }
  const bool prepare = alike && (first.rotation || first.activations);
  const AlignedBuffer<float> inputs = prepare ? layers.front()->prepared(x, tokens, pool) : AlignedBuffer<float>(0);
  if (prepare) x = inputs.data();
  if (alike && integers) return forward_integer(layers, x, tokens, y, pool);
  for (size_t i = 0; i < layers.size(); ++i) layers[i]->forward(x, tokens, y[i], alike, pool);
}

AlignedBuffer<float> Linear::prepared(const float* x, size_t tokens, ThreadPool& pool) const {
  AlignedBuffer<float> inputs(tokens * in_features());
  std::copy_n(x, tokens * in_features(), inputs.data());
  if (parts_.rotation) parts_.rotation->apply(inputs.data(), tokens, false, pool);
  if (parts_.activations) parts_.activations->apply(inputs.data(), tokens, pool);
  return inputs;
}

void Linear::forward_few(const float* x, size_t tokens, float* y, ThreadPool& pool) const {
  const EncodedMatrix& weights = *parts_.weights;
  const size_t in = in_features(), out = out_features(), rank = parts_.a ? parts_.a->rows() : 0;
  // Prepared vectors start on cache lines.
  const size_t prepared_stride = (weights.prepared_size() + 15) / 16 * 16;
  AlignedBuffer<float> prepared(tokens * prepared_stride), projected(tokens * rank);
  for (size_t token = 0; token < tokens; ++token) {
    weights.prepare_vector(x + token * in, prepared.data() + token * prepared_stride);
  }
  pool.parallel_for(rank, std::max<size_t>(8, 65536 / in), [&](size_t first, size_t last) {
    for (size_t token = 0; token < tokens; ++token) {
      parts_.a->row_dots(first, last - first, x + token * in, projected.data() + token * rank + first);
    }
  });
  const size_t grain = row_grain(out, pool.size());
  pool.parallel_for(out, grain, [&](size_t first, size_t last) {
    AlignedBuffer<float> correction(rank > 0 ? last - first : 0);
    for (size_t token = 0; token < tokens; ++token) {
      float* result = y + token * out;
      weights.row_dots(first, last - first, prepared.data() + token * prepared_stride, result + first);
      if (rank > 0) {
        parts_.b->row_dots(first, last - first, projected.data() + token * rank, correction.data());
        for (size_t row = first; row < last; ++row) result[row] += correction[row - first];
      }
      if (!parts_.bias.empty()) {
        for (size_t row = first; row < last; ++row) result[row] += parts_.bias[row];
      }
    }
  });
}

void Linear::forward_many(const float* x, size_t tokens, float* y, ThreadPool& pool) const {
  const ProductKernels<float>& product = float_kernels().f32;
  const size_t in = in_features(), out = out_features(), rank = parts_.a ? parts_.a->rows() : 0;
  const AlignedBuffer<float> inputs = pack_rows(x, tokens, in, pool);
  AlignedBuffer<float> projected(tokens * rank);
  if (rank > 0) {
    AlignedBuffer<float> a(rank * in);
    parts_.a->decode_rows(0, rank, a.data(), in);
    const size_t panels = (tokens + product.panel - 1) / product.panel;
    pool.parallel_for(panels, 1, [&](size_t begin, size_t end) {
      const size_t first = begin * product.panel, last = std::min(tokens, end * product.panel);
      product.multiply(a.data(), in, 1, rank, inputs.data() + first * in, last - first, in, 1.0f, false,
                       projected.data() + first * rank, 1, rank);
    });
  }
  const AlignedBuffer<float> corrections = pack_rows(projected.data(), tokens, rank, pool);

  const size_t height = tile_rows(in), tiles = (out + height - 1) / height;
  std::atomic<size_t> next{0};
  // One range a thread, so that each allocates its buffers once.
  pool.parallel_for(std::min(tiles, pool.size()), 1, [&](size_t, size_t) {
    AlignedBuffer<float> tile(height * in), factor(height * rank), results(product.panel * height);
    for (size_t index = next++; index < tiles; index = next++) {
      const size_t first = index * height, rows = std::min(height, out - first);
      parts_.weights->decode_rows(first, rows, tile.data(), in);
      if (rank > 0) parts_.b->decode_rows(first, rows, factor.data(), rank);
      // A panel of tokens at a time, its results gathered before they go out: y's rows may be a power of two apart,
      // where single values of many rows would push each other out of the caches.
      for (size_t token = 0; token < tokens; token += product.panel) {
        const size_t count = std::min(product.panel, tokens - token);
        product.multiply(tile.data(), in, 1, rows, inputs.data() + token * in, count, in, 1.0f, false, results.data(),
                         1, rows);
        if (rank > 0) {
          product.multiply(factor.data(), rank, 1, rows, corrections.data() + token * rank, count, rank, 1.0f, true,
                           results.data(), 1, rows);
        }
        for (size_t i = 0; i < count; ++i) {
          float* result = y + (token + i) * out + first;
          std::copy_n(results.data() + i * rows, rows, result);
          for (size_t row = 0; row < rows && !parts_.bias.empty(); ++row) result[row] += parts_.bias[first + row];
        }
      }
    }
  });
}

void Linear::gather_rows(const int32_t* ids, size_t count, float* out, ThreadPool& pool) const {
  const FloatKernels& kernels = float_kernels();
  const size_t in = in_features(), rank = parts_.a ? parts_.a->rows() : 0;
  AlignedBuffer<float> a(rank * in);
  if (rank > 0) parts_.a->decode_rows(0, rank, a.data(), in);
  pool.parallel_for(count, 4, [&](size_t begin, size_t end) {
    AlignedBuffer<float> factor(rank);
    for (size_t i = begin; i < end; ++i) {
      const auto id = static_cast<size_t>(ids[i]);
      float* row = out + i * in;
      parts_.weights->decode_rows(id, 1, row, in);
      if (rank > 0) {
        parts_.b->decode_rows(id, 1, factor.data(), rank);
        for (size_t k = 0; k < rank; ++k) kernels.f32.add_scaled(factor[k], a.data() + k * in, row, in);
      }
    }
    if (parts_.rotation) parts_.rotation->apply(out + begin * in, end - begin, true, pool);
  });
}

}  // namespace pyramidion
