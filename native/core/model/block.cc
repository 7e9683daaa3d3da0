#include "core/model/block.h"

#include <algorithm>
#include <chrono>

#include "core/aligned_buffer.h"
#include "core/model/elementwise.h"

namespace pyramidion {
namespace {

class Stopwatch {
 public:
  explicit Stopwatch(BlockTimes* times) : times_(times) {}

  template <class Operation>
  void time(double BlockTimes::*kind, const Operation& operation) const {
    if (times_ == nullptr) return operation();
    const auto start = std::chrono::steady_clock::now();
    operation();
    times_->*kind += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  BlockTimes* times_;
};

}  // namespace

void forward_block(const BlockParts& parts, const BlockPass& pass, float* x, BlockTimes* times, ThreadPool& pool) {
  const Stopwatch watch(times);
  const size_t tokens = pass.tokens, hidden = parts.query->in_features();
  const size_t width = parts.heads * parts.head_dimension, inner = parts.gate->out_features();
  const size_t cache_width = parts.key_value_heads * parts.head_dimension;
  // One buffer: the norms' results and the block's changes to x, then what attention or the MLP needs, keys and values.
  AlignedBuffer<float> memory(tokens * (hidden + 2 * std::max(width, inner) + 2 * cache_width));
  float* normed = memory.data();
  float* first = normed + tokens * hidden;
  float* second = first + tokens * std::max(width, inner);

  float* keys = second + tokens * std::max(width, inner);
  float* values = keys + tokens * cache_width;
  const auto norm = [&](const float* from, const float* weight, size_t columns, size_t rows, float* to) {
    watch.time(&BlockTimes::norms, [&] { rms_norm(from, weight, columns, parts.epsilon, rows, to, pool); });
  };
  norm(x, parts.attention_norm, hidden, tokens, normed);
  watch.time(&BlockTimes::projections, [&] {
    Linear::forward_together({parts.query.get(), parts.key.get(), parts.value.get()}, normed, tokens,
                             {first, keys, values}, pool);
  });
  if (parts.query_norm) norm(first, parts.query_norm, parts.head_dimension, tokens * parts.heads, first);
  if (parts.key_norm) norm(keys, parts.key_norm, parts.head_dimension, tokens * parts.key_value_heads, keys);
  watch.time(&BlockTimes::rotary, [&] {
    const size_t half = parts.head_dimension / 2;
    rotary(first, tokens, parts.heads, half, pass.cosine, pass.sine, pool);
    rotary(keys, tokens, parts.key_value_heads, half, pass.cosine, pass.sine, pool);
  });
  watch.time(&BlockTimes::attention, [&] {
    const AttentionShape shape = {tokens,      pass.past, parts.heads, parts.key_value_heads, parts.head_dimension,
                                  parts.window};
    if (pass.cache != nullptr) pass.cache->store(pass.layer, pass.past, tokens, keys, values);
    const KeyValues held = pass.cache != nullptr
                               ? pass.cache->layer(pass.layer)
                               : KeyValues::of_floats(keys, values, parts.key_value_heads, parts.head_dimension);
    attention(first, held, shape, second, pool);
  });
  watch.time(&BlockTimes::projections, [&] { parts.output->forward(second, tokens, normed, false, pool); });
  watch.time(&BlockTimes::sums, [&] { add_in_place(x, normed, tokens * hidden, pool); });

  norm(x, parts.mlp_norm, hidden, tokens, normed);
  watch.time(&BlockTimes::projections, [&] {
    Linear::forward_together({parts.gate.get(), parts.up.get()}, normed, tokens, {first, second}, pool);
  });
  watch.time(&BlockTimes::gating, [&] { silu_multiply(first, second, first, tokens * inner, pool); });
  watch.time(&BlockTimes::projections, [&] { parts.down->forward(first, tokens, normed, false, pool); });
  watch.time(&BlockTimes::sums, [&] { add_in_place(x, normed, tokens * hidden, pool); });
}

}  // namespace pyramidion
