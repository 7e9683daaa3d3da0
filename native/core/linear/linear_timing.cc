#include "core/linear/linear_timing.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace pyramidion {
namespace {

using Clock = std::chrono::steady_clock;

// After the first, which fills the caches: enough that one is undisturbed, within a millisecond or two.
constexpr int kLeastTimes = 2, kMostTimes = 20;
constexpr double kEnoughSeconds = 1e-3;

}  // namespace

double least_seconds(const Linear& layer, size_t tokens, ThreadPool& pool) {
  // Whole numbers as int8 holds them: nothing is left to be rounded.
  AlignedBuffer<float> x(tokens * layer.in_features()), y(tokens * layer.out_features());
  for (size_t i = 0; i < tokens * layer.in_features(); ++i) x[i] = static_cast<float>(i % 255) - 127;
  double least = std::numeric_limits<double>::infinity(), total = 0;
  for (int time = 0; time <= kLeastTimes || (time <= kMostTimes && total < kEnoughSeconds); ++time) {
    const Clock::time_point start = Clock::now();
    layer.forward(x.data(), tokens, y.data(), true, pool);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (time > 0) least = std::min(least, seconds);
    total += seconds;
  }
  return least;
}

}  // namespace pyramidion
