#include "core/parallel/read_bandwidth.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "core/aligned_buffer.h"

namespace pyramidion {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLeastBytes = size_t{64} << 20, kMostBytes = size_t{256} << 20;
constexpr int kTurns = 4;
// Words that are asked for ahead: 1.5 KiB.
constexpr size_t kAhead = 192;
// What a thread takes at a time, in words: half a mebibyte.
constexpr size_t kGrain = size_t{1} << 16;

// Twice the last cache: what one turn leaves there is gone when the next would read it.
size_t bytes_beyond_caches() {
#ifdef _SC_LEVEL3_CACHE_SIZE
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (cache > 0) return std::clamp(2 * static_cast<size_t>(cache), kLeastBytes, kMostBytes);
#endif
  return kMostBytes;
}

}  // namespace

double read_bandwidth(ThreadPool& pool) {
  const size_t count = bytes_beyond_caches() / sizeof(uint64_t);
  AlignedBuffer<uint64_t> words(count);
  pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
    std::fill(words.data() + begin, words.data() + end, uint64_t{1});
  });
  // The sum of all words is kept, or the compiler would read none.
  std::atomic<uint64_t> total{0};
  double best = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    const Clock::time_point start = Clock::now();
    pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
      uint64_t sums[8] = {};
      for (size_t i = begin; i < end; i += 8) {
        // As the kernels do: alone, a core does not ask for enough lines at a time.
        __builtin_prefetch(&words[std::min(i + kAhead, count - 1)]);
        for (size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
      }
      for (uint64_t sum : sums) total += sum;
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(count * sizeof(uint64_t)) / seconds);
  }
  return total == uint64_t{count} * kTurns ? best : 0;
}

}  // namespace pyramidion
