// Gradients of losses at a model's logits, a row at a time and in place: the rows of a chunk are all the memory it takes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// A label is drawn from softmax(logits) for each row, by inversion of the uniform number in [0, 1) given for it; logits
// (rows x vocabulary) become the gradient of -log p(label): softmax(logits) - onehot(label).
void sampled_label_gradient(float* logits, size_t rows, size_t vocabulary, const double* uniforms, int32_t* labels,
                            ThreadPool& pool);

// logits (rows x vocabulary) become the gradient of KL(reference || logits): softmax(logits) - softmax(reference).
// divergence: that KL, a row each, in nats.
void distillation_gradient(float* logits, const float* reference, size_t rows, size_t vocabulary, double* divergence,
                           ThreadPool& pool);

}  // namespace pyramidion
