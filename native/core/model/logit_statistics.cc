#include "core/model/logit_statistics.h"

#include <algorithm>
#include <cmath>

#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

struct Row {
  const float* logits;
  float largest;
  double log_sum;

  Row(const float* logits, size_t vocabulary)
      : logits(logits),
        largest(float_kernels().maximum(logits, vocabulary)),
        log_sum(largest + std::log(float_kernels().sum_exponentials(logits, vocabulary, largest))) {}

  const float* top(size_t vocabulary) const { return std::find(logits, logits + vocabulary, largest); }
};

// The kernel takes the logarithms of the sums as floats; what they lose by that is added back, as probabilities add
// to 1.
double divergence(const Row& reference, const Row& row, size_t vocabulary) {
  const auto reference_sum = static_cast<float>(reference.log_sum), sum = static_cast<float>(row.log_sum);
  return float_kernels().divergence(reference.logits, row.logits, vocabulary, reference_sum, sum) -
         (reference.log_sum - reference_sum) + (row.log_sum - sum);
}

}  // namespace

LogitStatistics logit_statistics(const float* logits, const float* reference, const int32_t* targets, size_t rows,
                                 size_t vocabulary, ThreadPool& pool) {
  const size_t compared = reference == nullptr ? 0 : rows;
  LogitStatistics statistics{std::vector<double>(rows), std::vector<double>(compared), std::vector<double>(compared),
                             std::vector<uint8_t>(compared)};
  pool.parallel_for(rows, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const Row row(logits + i * vocabulary, vocabulary);
      const auto target = static_cast<size_t>(targets[i]);
      statistics.negative_log_likelihood[i] = row.log_sum - row.logits[target];
      if (compared == 0) continue;
      const Row other(reference + i * vocabulary, vocabulary);
      statistics.reference_negative_log_likelihood[i] = other.log_sum - other.logits[target];
      statistics.kl_divergence[i] = divergence(other, row, vocabulary);
      statistics.same_top[i] = row.top(vocabulary) - row.logits == other.top(vocabulary) - other.logits;
    }
  });
  return statistics;
}

}  // namespace pyramidion
