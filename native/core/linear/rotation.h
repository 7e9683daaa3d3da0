// Orthogonal transforms of a layer's input: V = (M (x) S) diag(signs), M orthogonal of order m, S the normalised
// Sylvester-Hadamard matrix of order 2^b, m 2^b the width (docs/architecture.md, "Rotation").
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

class Rotation {
 public:
  // signs: m << sylvester_log2 values of +1 or -1. matrix: m x m, row-major, orthonormal; empty means the identity.
  Rotation(const std::vector<int8_t>& signs, unsigned sylvester_log2, std::vector<float> matrix);

  size_t width() const { return scaled_signs_.size(); }
  // In place on rows of width() values: V x, or V^T x when inverse.
  void apply(float* x, size_t rows, bool inverse, ThreadPool& pool) const;

  // V M V^T of a symmetric M, width() x width(), in place and in single precision: second moments of x become those of
  // V x.
  void turn_moments(double* moments, ThreadPool& pool) const;

  // m, b, M (empty for the identity), and each sign times 2^(-b/2), the normalisation of S.
  size_t order() const { return order_; }
  unsigned sylvester_log2() const { return static_cast<unsigned>(__builtin_ctzll(block_)); }
  const std::vector<float>& matrix() const { return matrix_; }
  const std::vector<float>& scaled_signs() const { return scaled_signs_; }

 private:
  class Mixing;

  size_t block_;  // 2^b
  size_t order_;  // m
  std::vector<float> matrix_;
  std::vector<float> scaled_signs_;
};

}  // namespace pyramidion
