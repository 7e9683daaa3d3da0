#include "addon/job_queue.h"

#include <algorithm>
#include <deque>
#include <new>
#include <thread>
#include <utility>

#include "addon/environment.h"

namespace pyramidion {
namespace {

// The process's job threads. Each job spreads over the shared pool, so a few are enough to let short jobs pass a long
// one.
class JobThreads {
 public:
  static JobThreads& shared() {
    static JobThreads& threads = *new JobThreads;
    return threads;
  }

  void submit(std::function<void()> work) {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(work));
    if (idle_ < queue_.size() && count_ < kMost) {
      std::thread([this] { serve(); }).detach();
      ++count_;
    } else {
      arrived_.notify_one();
    }
  }

 private:
  static constexpr size_t kMost = 8;

  void serve() {
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

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> queue_;
  size_t idle_ = 0, count_ = 0;
};

}  // namespace

struct JobQueue::Job {
  Operation operation;
  Napi::Promise::Deferred deferred;
  std::vector<Napi::ObjectReference> retained;
  // What went wrong; code is null when nothing did.
  const char* code = nullptr;
  std::string message;
};

JobQueue::JobQueue(Napi::Env env) : env_(env), wakeup_(Wakeup::New(env, "pyramidion", 0, 1, this)) {
  wakeup_.Unref(env);
}

JobQueue::~JobQueue() = default;

Napi::Promise JobQueue::start(Call& call, Operation operation) {
  auto job = std::unique_ptr<Job>(new Job{std::move(operation), Napi::Promise::Deferred::New(env_), {}, nullptr, {}});
  if (call.receiver().IsObject()) job->retained.push_back(Napi::Persistent(call.receiver().As<Napi::Object>()));
  for (const Napi::Object& object : call.retained()) job->retained.push_back(Napi::Persistent(object));
  Job* running = job.get();
  const Napi::Promise promise = job->deferred.Promise();
  if (jobs_.empty()) wakeup_.Ref(env_);
  jobs_.push_back(std::move(job));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++unfinished_;
  }
  JobThreads::shared().submit([this, running] { run(*running); });
  return promise;
}

void JobQueue::run(Job& job) {
  try {
    if (closing_) throw Error("ABORTED", "the environment ended before the operation began");
    job.operation.work();
  } catch (const Error& error) {
    job.code = error.code();
    job.message = error.what();
  } catch (const std::bad_alloc&) {
    job.code = "OUT_OF_MEMORY";
    job.message = "out of memory";
  } catch (const std::exception& error) {
    job.code = "INTERNAL";
    job.message = error.what();
  }
  // Everything under the lock: close() frees the queue as soon as the last job is counted off.
  std::lock_guard<std::mutex> lock(mutex_);
  finished_.push_back(&job);
  --unfinished_;
  wakeup_.NonBlockingCall();
  job_finished_.notify_all();
}

void JobQueue::settle_finished(Napi::Env env, Napi::Function, JobQueue* queue, void*) {
  // Without an environment the function is only being drained; close() frees the jobs.
  if (env == nullptr) return;
  std::vector<Job*> finished;
  {
    std::lock_guard<std::mutex> lock(queue->mutex_);
    finished.swap(queue->finished_);
  }
  for (Job* job : finished) queue->settle(env, *job);
}

void JobQueue::settle(Napi::Env env, Job& job) {
  const Napi::HandleScope scope(env);
  const auto place = std::find_if(jobs_.begin(), jobs_.end(), [&job](const auto& held) { return held.get() == &job; });
  const std::unique_ptr<Job> owned = std::move(*place);
  jobs_.erase(place);
  if (jobs_.empty()) wakeup_.Unref(env);
  if (job.code != nullptr) {
    job.deferred.Reject(to_javascript(env, Error(job.code, job.message)).Value());
    return;
  }
  try {
    job.deferred.Resolve(job.operation.result ? job.operation.result(env) : env.Undefined());
  } catch (const Napi::Error& error) {
    job.deferred.Reject(error.Value());
  }
}

void JobQueue::close() {
  closing_ = true;
  for (const auto& job : jobs_) job->operation.control.request_stop();
  std::unique_lock<std::mutex> lock(mutex_);
  job_finished_.wait(lock, [this] { return unfinished_ == 0; });
  lock.unlock();
  jobs_.clear();
  wakeup_.Release();
}

}  // namespace pyramidion
