// Causal grouped-query attention with a softmax that never holds a whole row of scores (FlashAttention, arXiv
// 2205.14135): keys and values are read a tile of positions at a time, once for all heads that share them.
#pragma once

#include <cstddef>

#include "core/model/key_value_cache.h"
#include "core/parallel/thread_pool.h"

namespace pyramidion {

struct AttentionShape {
  // Query tokens, and the positions before them that there are keys and values of.
  size_t tokens, past;
  // heads is a multiple of key_value_heads; head h reads key/value head h / (heads / key_value_heads).
  size_t heads, key_value_heads, head_dimension;
  // Positions a query sees, itself included; 0 means all.
  size_t window;
};

// query, out: tokens x heads x D. out does not overlap. The result does not depend on the number of threads.
void attention(const float* query, const KeyValues& key_values, const AttentionShape& shape, float* out,
               ThreadPool& pool);

}  // namespace pyramidion
