// Background work of one environment: jobs run on threads of the process, and are settled and freed on the JavaScript
// thread they came from. When the environment ends, its jobs are asked to stop and waited for.
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "addon/job.h"

namespace pyramidion {

class JobQueue {
 public:
  explicit JobQueue(Napi::Env env);
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // Starts the work; the promise settles once, with the operation's result or its error.
  Napi::Promise start(Call& call, Operation operation);
  // Asks every job to stop, waits for those that run, frees all. Called once, on the JavaScript thread, at the end.
  void close();

 private:
  struct Job;
  static void settle_finished(Napi::Env env, Napi::Function, JobQueue* queue, void*);
  using Wakeup = Napi::TypedThreadSafeFunction<JobQueue, void, settle_finished>;

  void run(Job& job);
  void settle(Napi::Env env, Job& job);

  Napi::Env env_;
  Wakeup wakeup_;
  // Jobs not yet settled; JavaScript thread only.
  std::vector<std::unique_ptr<Job>> jobs_;

  std::atomic<bool> closing_{false};
  std::mutex mutex_;
  std::condition_variable job_finished_;
  std::vector<Job*> finished_;
  size_t unfinished_ = 0;
};

}  // namespace pyramidion
