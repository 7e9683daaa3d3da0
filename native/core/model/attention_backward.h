// The gradient of causal grouped-query attention over one whole window, with the probabilities computed again.
#pragma once

#include "core/model/attention.h"

namespace pyramidion {

// For out = attention(query, keys, values) and shape.past = 0: the gradients of a loss at query (tokens x heads x D) and
// at keys and values (tokens x key_value_heads x D), given that at out (tokens x heads x D). Nothing overlaps. Holds
// tokens x D floats of scratch for each of key and value of every head.
void attention_backward(const float* query, const float* keys, const float* values, const float* gradient,
                        const AttentionShape& shape, float* query_gradient, float* key_gradient, float* value_gradient,
                        ThreadPool& pool);

}  // namespace pyramidion
