#include "core/parallel/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

namespace pyramidion {
namespace {

// Polls before a thread goes to sleep: a product takes tens of microseconds, and so does waking a sleeper.
constexpr int kSpins = 1000;

thread_local bool inside_body = false;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// One parallel_for call. It lives on its caller's stack: helpers enter and leave it under the pool's mutex only.
struct Batch {
  const std::function<void(size_t, size_t)>* body;
  size_t count, grain;
  std::atomic<size_t> next{0};
  std::atomic<size_t> helpers{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  Batch(const std::function<void(size_t, size_t)>& body, size_t count, size_t grain)
      : body(&body), count(count), grain(grain) {}

  // Takes ranges until none is left. Every exception but the first is dropped, and no range starts after it.
  void work() {
    inside_body = true;
    while (!failed.load(std::memory_order_relaxed)) {
      const size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) break;
      try {
        (*body)(begin, std::min(count, begin + grain));
      } catch (...) {
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
    inside_body = false;
  }
};

}  // namespace

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable work_arrived, helper_left;
  std::vector<Batch*> batches;
  std::atomic<size_t> waiting_batches{0};
  std::atomic<bool> stopping{false};
  std::vector<std::thread> threads;
  std::atomic<size_t> size{1};
  // Held shared by every parallel_for, alone by resize.
  std::shared_mutex running;

  void start(size_t helpers) {
    stopping = false;
    size = helpers + 1;
    for (size_t i = 0; i < helpers; ++i) threads.emplace_back([this] { help(); });
  }

  void stop() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stopping = true;
    }
    work_arrived.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  void help() {
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      if (batches.empty() && !stopping) {
        lock.unlock();
        for (int i = 0; i < kSpins && waiting_batches.load(std::memory_order_relaxed) == 0 && !stopping; ++i) pause();
        lock.lock();
      }
      work_arrived.wait(lock, [this] { return stopping || !batches.empty(); });
      if (stopping) return;
      Batch* batch = batches.front();
      batch->helpers.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
      batch->work();
      lock.lock();
      remove(batch);
      // The caller may return as soon as the count is zero; the batch must not be touched after this line.
      if (batch->helpers.fetch_sub(1, std::memory_order_release) == 1) helper_left.notify_all();
    }
  }

  // No range of the batch is left to hand out. Needs the mutex.
  void remove(Batch* batch) {
    const auto place = std::find(batches.begin(), batches.end(), batch);
    if (place != batches.end()) batches.erase(place);
    waiting_batches.store(batches.size(), std::memory_order_relaxed);
  }

  void run(Batch& batch) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      batches.push_back(&batch);
      waiting_batches.store(batches.size(), std::memory_order_relaxed);
    }
    const size_t ranges = (batch.count + batch.grain - 1) / batch.grain;
    if (ranges > 2) {
      work_arrived.notify_all();
    } else {
      work_arrived.notify_one();
    }
    batch.work();
    std::unique_lock<std::mutex> lock(mutex);
    remove(&batch);
    if (batch.helpers.load(std::memory_order_acquire) != 0) {
      lock.unlock();
      for (int i = 0; i < kSpins && batch.helpers.load(std::memory_order_relaxed) != 0; ++i) pause();
      lock.lock();
      helper_left.wait(lock, [&batch] { return batch.helpers.load(std::memory_order_acquire) == 0; });
    }
  }
};

ThreadPool::ThreadPool(size_t threads) : state_(std::make_unique<State>()) {
  state_->start(std::max<size_t>(threads, 1) - 1);
}

ThreadPool::~ThreadPool() { state_->stop(); }

size_t ThreadPool::size() const { return state_->size; }

void ThreadPool::resize(size_t threads) {
  std::unique_lock<std::shared_mutex> guard(state_->running);
  state_->stop();
  state_->start(std::max<size_t>(threads, 1) - 1);
}

void ThreadPool::parallel_for(size_t count, size_t grain, const std::function<void(size_t, size_t)>& body) {
  if (count == 0) return;
  grain = std::max<size_t>(grain, 1);
  if (inside_body || count <= grain) {
    for (size_t begin = 0; begin < count; begin += grain) body(begin, std::min(count, begin + grain));
    return;
  }
  std::shared_lock<std::shared_mutex> guard(state_->running);
  Batch batch(body, count, grain);
  if (state_->threads.empty()) {
    batch.work();
  } else {
    state_->run(batch);
  }
  if (batch.error) std::rethrow_exception(batch.error);
}

}  // namespace pyramidion
