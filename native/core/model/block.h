// A transformer block as one operation: RMS norm, grouped-query attention with rotary positions, RMS norm, SwiGLU, each
// added to the residual stream. The same bits as its parts one by one, without the way into native code and back
// between them.
#pragma once

#include <memory>

#include "core/linear/linear.h"
#include "core/model/attention.h"

namespace pyramidion {

struct BlockParts {
  std::shared_ptr<const Linear> query, key, value, output, gate, up, down;
  // Of the residual stream's width; queries and keys have norms in some models, of a head's width: null otherwise.
  const float *attention_norm, *mlp_norm, *query_norm, *key_norm;
  float epsilon;
  size_t heads, key_value_heads, head_dimension, window;
};

// Seconds by kind of operation, added to.
struct BlockTimes {
  double projections = 0, attention = 0, norms = 0, rotary = 0, gating = 0, sums = 0;
};

// Positions past .. past + tokens - 1 of a text.
struct BlockPass {
  size_t tokens, past;
  // Takes the keys and values of these tokens, as those of `layer`, and has room for them. Null where these tokens are
  // the whole text: its keys and values are used as they are and forgotten.
  KeyValueCache* cache;
  size_t layer;
  // tokens x head_dimension / 2.
  const float *cosine, *sine;
};

// x: tokens x hidden, in place. times: null, or where to count.
void forward_block(const BlockParts& parts, const BlockPass& pass, float* x, BlockTimes* times, ThreadPool& pool);

}  // namespace pyramidion
