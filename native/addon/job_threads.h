// The process's job threads. Each job spreads over the shared pool, so a few are enough to let short jobs pass a long
// one.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace pyramidion {

class JobThreads {
 public:
  static JobThreads& shared();

  void submit(std::function<void()> work);

 private:
  void serve();

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> queue_;
  size_t idle_ = 0, count_ = 0;
};

}  // namespace pyramidion
