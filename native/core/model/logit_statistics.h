// What an evaluation needs of a model's logits, a row at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// One value a row; the last three are empty without a reference. In nats.
struct LogitStatistics {
  std::vector<double> negative_log_likelihood, reference_negative_log_likelihood, kl_divergence;
  // 1 where logits and reference have their (first) largest value at the same token.
  std::vector<uint8_t> same_top;
};

// logits, reference: rows x vocabulary, reference may be null; targets: below vocabulary. KL is KL(reference ||
// logits).
LogitStatistics logit_statistics(const float* logits, const float* reference, const int32_t* targets, size_t rows,
                                 size_t vocabulary, ThreadPool& pool);

}  // namespace pyramidion
