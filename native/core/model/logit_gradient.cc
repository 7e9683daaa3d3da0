#include "core/model/logit_gradient.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/model/logit_statistics.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

double sum_of(const float* x, size_t count) {
  double sums[4] = {};
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] += x[i + lane];
  }
  for (; i < count; ++i) sums[0] += x[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

void softmax(float* row, size_t vocabulary) {
  const FloatKernels& kernels = float_kernels();
  kernels.exponentials(row, vocabulary, kernels.maximum(row, vocabulary));
  kernels.scale(static_cast<float>(1 / sum_of(row, vocabulary)), row, vocabulary);
}

// The first index whose cumulative probability exceeds `uniform`, or else the last one that is possible at all.
size_t draw(const float* probabilities, size_t vocabulary, double uniform) {
  double cumulative = 0;
  size_t label = 0;
  for (size_t i = 0; i < vocabulary && cumulative <= uniform; ++i) {
    if (probabilities[i] == 0) continue;
    label = i;
    cumulative += probabilities[i];
  }
  return label;
}

}  // namespace

void sampled_label_gradient(float* logits, size_t rows, size_t vocabulary, const double* uniforms, int32_t* labels,
                            ThreadPool& pool) {
  pool.parallel_for(rows, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      float* row = logits + i * vocabulary;
      softmax(row, vocabulary);
      const size_t label = draw(row, vocabulary, uniforms[i]);
      row[label] -= 1;
      labels[i] = static_cast<int32_t>(label);
    }
  });
}

void distillation_gradient(float* logits, const float* reference, size_t rows, size_t vocabulary, double* divergence,
                           ThreadPool& pool) {
  const std::vector<int32_t> targets(rows, 0);
  const LogitStatistics statistics = logit_statistics(logits, reference, targets.data(), rows, vocabulary, pool);
  std::copy(statistics.kl_divergence.begin(), statistics.kl_divergence.end(), divergence);
  pool.parallel_for(rows, 1, [&](size_t begin, size_t end) {
    AlignedBuffer<float> target(vocabulary);
    for (size_t i = begin; i < end; ++i) {
      float* row = logits + i * vocabulary;
      std::copy_n(reference + i * vocabulary, vocabulary, target.data());
      softmax(target.data(), vocabulary);
      softmax(row, vocabulary);
      float_kernels().f32.add_scaled(-1, target.data(), row, vocabulary);
    }
  });
}

}  // namespace pyramidion
