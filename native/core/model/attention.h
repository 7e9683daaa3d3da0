// Causal grouped-query attention over float caches, with a softmax that never holds a whole row of scores for prompts.
#pragma once

#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

struct AttentionShape {
  // Query tokens, and the positions before them that the caches hold.
  size_t tokens, past;
  // heads is a multiple of key_value_heads; head h reads key/value head h / (heads / key_value_heads).
  size_t heads, key_value_heads, head_dimension;
  // Positions a query sees, itself included; 0 means all.
  size_t window;
};

// query, out: tokens x heads x D; keys, values: past + tokens positions x key_value_heads x D. out does not overlap.
void attention(const float* query, const float* keys, const float* values, const AttentionShape& shape, float* out,
               ThreadPool& pool);

}  // namespace pyramidion
