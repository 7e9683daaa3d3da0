// Layers whose inputs are rounded to int8: products in integers, in whatever layout the weights have
// (core/pvq/integer_tokens.h).
#include <algorithm>

#include "core/aligned_buffer.h"
#include "core/linear/linear.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Tokens multiplied together, whose inputs stay in a core's second-level cache while a thread's rows pass by, and rows
// at a time, whose lanes do so too.
constexpr size_t kTokens = 128, kProducts = 2048;
// Filling a panel is shared by more of them.
constexpr size_t kPanelTokens = 512;
size_t rows_at_once(size_t tokens) { return std::clamp<size_t>(kProducts / tokens, 16, 32); }

// Rows a thread takes at a time, a few turns each.
size_t row_grain(size_t rows, size_t threads) { return std::max<size_t>(32, (rows / (threads * 4) + 31) / 32 * 32); }

}  // namespace

void Linear::forward_integer(const std::vector<const Linear*>& layers, const float* x, size_t tokens,
                             const std::vector<float*>& y, ThreadPool& pool) {
  // Tokens in the order of a layer's groups serve every layer with such groups.
  std::vector<std::unique_ptr<const IntegerTokens>> inputs;
  std::vector<size_t> source;
  std::vector<AlignedBuffer<float>> projected;
  size_t outputs = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Linear& layer = *layers[i];
    const TokenOrder order = layer.integer_->token_order(tokens);
    size_t earlier = 0;
    while (earlier < i && !(inputs[source[earlier]]->order() == order &&
                            same_token_order(layers[earlier]->integer_->layout(), layer.integer_->layout()))) {
      ++earlier;
    }
    source.push_back(earlier);
    inputs.push_back(earlier < i ? nullptr
                                 : std::make_unique<IntegerTokens>(layer.integer_->layout(), x, tokens, order, pool));
    projected.emplace_back(tokens * (layer.parts_.a ? layer.parts_.a->rows() : 0));
    layer.project(x, tokens, projected.back().data(), pool);
    outputs += layer.out_features();
  }
  struct Turn {
    size_t layer, begin, end;
  };
  std::vector<Turn> turns;
  const size_t grain = row_grain(outputs, pool.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    const size_t out = layers[i]->out_features();
    for (size_t begin = 0; begin < out; begin += grain) turns.push_back({i, begin, std::min(out, begin + grain)});
  }
  pool.parallel_for(turns.size(), 1, [&](size_t first, size_t last) {
    for (size_t t = first; t < last; ++t) {
      const auto [i, begin, end] = turns[t];
      layers[i]->multiply_integer(*inputs[source[i]], projected[i].data(), begin, end, y[i]);
    }
  });
}

// A x of all tokens: tokens x rank.
void Linear::project(const float* x, size_t tokens, float* projected, ThreadPool& pool) const {
  if (!parts_.a) return;
  const size_t in = in_features(), rank = parts_.a->rows();
  pool.parallel_for(rank, std::max<size_t>(8, 65536 / in), [&](size_t first, size_t last) {
    AlignedBuffer<float> row(in);
    for (size_t k = first; k < last; ++k) {
      parts_.a->decode_rows(k, 1, row.data(), in);
      for (size_t token = 0; token < tokens; ++token) {
        projected[token * rank + k] = float_kernels().f32.dot(row.data(), x + token * in, in);
      }
    }
  });
}

// Rows [begin, end) of y.
void Linear::multiply_integer(const IntegerTokens& inputs, const float* projected, size_t begin, size_t end,
                              float* y) const {
  const size_t tokens = inputs.count(), out = out_features(), rank = parts_.a ? parts_.a->rows() : 0;
  const bool panels = inputs.order() == TokenOrder::panels;
  const size_t height = panels ? end - begin : rows_at_once(tokens), width = panels ? kPanelTokens : kTokens;
  for (size_t token = 0; token < tokens; token += width) {
    const size_t slice = std::min(width, tokens - token);
    for (size_t first = begin; first < end; first += height) {
      integer_->integer_products(first, std::min(height, end - first), inputs, token, slice, y + token * out + first,
                                 out);
    }
  }
  AlignedBuffer<float> factor(rank);
  for (size_t row = begin; row < end && rank > 0; ++row) {
    parts_.b->decode_rows(row, 1, factor.data(), rank);
    for (size_t token = 0; token < tokens; ++token) {
      y[token * out + row] += float_kernels().f32.dot(factor.data(), projected + token * rank, rank);
    }
  }
  for (size_t token = 0; token < tokens && !parts_.bias.empty(); ++token) {
    for (size_t row = begin; row < end; ++row) y[token * out + row] += parts_.bias[row];
  }
}

}  // namespace pyramidion
