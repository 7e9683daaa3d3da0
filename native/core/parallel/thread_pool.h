// The library's own threads, shared by every layer and every worker of the process. Idle threads sleep.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace pyramidion {

class ThreadPool {
 public:
  // threads: total parallelism including the calling thread; at least 1.
  explicit ThreadPool(size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t size() const;
  // Waits until running work is finished, then changes the number of threads.
  void resize(size_t threads);

  // Calls body(begin, end) over disjoint ranges that cover [0, count), each of at most `grain` items, on several
  // threads, the caller's included; returns when all are done. The first exception thrown by body is rethrown here.
  // May be called from several threads at once; a call from inside a body runs on the calling thread alone.
  void parallel_for(size_t count, size_t grain, const std::function<void(size_t begin, size_t end)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pyramidion
