#include "addon/job_queue.h"

#include <algorithm>
#include <new>
#include <utility>

#include "addon/background_release.h"
#include "addon/environment.h"
#include "addon/job_threads.h"

namespace pyramidion {
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
  BackgroundRelease::shared().environment_begins();
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
  BackgroundRelease::shared().environment_ends();
}

}  // namespace pyramidion
