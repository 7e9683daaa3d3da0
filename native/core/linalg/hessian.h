// Second moments of vectors, H = E[w x x^T]: of a layer's inputs, the Hessian of its squared output error. Samples are
// gathered into tiles of a fixed number, multiplied in single precision, and the products of tiles added up in double:
// the same bits however samples are spread over calls, and for any number of threads.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "core/linalg/tile_sums.h"
#include "core/parallel/thread_pool.h"

namespace pyramidion {

// All methods may be called from several threads at once.
class Hessian {
 public:
  // Samples whose products are added up together: few enough that single precision loses no more than some 1e-7 of a
  // sum, enough that adding the products up in double costs little.
  static constexpr size_t tile = 256;

  // sums: where products are added up, for tiles of this many samples, until the first mean(), which takes them over
  // and lets go of it. Null: in the process.
  explicit Hessian(size_t width, std::unique_ptr<TileSums> sums = nullptr);

  size_t width() const { return width_; }
  size_t tokens() const;

  // x: tokens x width; weights: one a token, or null for ones.
  void add(const float* x, const float* weights, size_t tokens, ThreadPool& pool);
  // width x width: E[w x x^T], the mean over tokens. Raises EMPTY before the first token.
  std::vector<double> mean(ThreadPool& pool);
  // Of each column, the largest over calls of add of mean |x|: the statistic of L2QER (arXiv 2402.02446, section 3.2).
  std::vector<double> mean_magnitude() const;

 private:
  void add_tile(const float* x, const float* weights, size_t count, ThreadPool& pool);
  void observe_magnitudes(const float* x, size_t tokens, ThreadPool& pool);

  const size_t width_;
  mutable std::mutex mutex_;
  size_t tokens_ = 0;
  // Samples of the tile that is being filled, and their weights.
  size_t pending_ = 0;
  std::vector<float> samples_, weights_;
  // Lower triangle; empty while they are elsewhere.
  std::vector<double> sums_;
  std::unique_ptr<TileSums> elsewhere_;
  std::vector<double> largest_mean_magnitude_;
};

// trace(E H E^T) / rows, the expected squared error of an output: error is rows x columns, hessian columns x columns.
double expected_error(const float* error, size_t rows, size_t columns, const double* hessian, ThreadPool& pool);

}  // namespace pyramidion
