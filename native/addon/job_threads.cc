#include "addon/job_threads.h"

#include <thread>
#include <utility>

namespace pyramidion {
namespace {

constexpr size_t kMost = 8;

}  // namespace

JobThreads& JobThreads::shared() {
  static JobThreads& threads = *new JobThreads;
  return threads;
}

void JobThreads::submit(std::function<void()> work) {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(work));
  if (idle_ < queue_.size() && count_ < kMost) {
    std::thread([this] { serve(); }).detach();
    ++count_;
  } else {
    arrived_.notify_one();
  }
}

void JobThreads::serve() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    ++idle_;
    arrived_.wait(lock, [this] { return !queue_.empty(); });
    --idle_;
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace pyramidion
