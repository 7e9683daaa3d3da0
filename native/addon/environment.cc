#include "addon/environment.h"

#include <cstdlib>
#include <string>

#include "addon/job_queue.h"
#include "core/parallel/usable_cores.h"

namespace pyramidion {
namespace {

struct Environment {
  explicit Environment(Napi::Env env) : jobs(env) {}

  Napi::FunctionReference error_class;
  JobQueue jobs;
};

size_t initial_threads() {
  if (const char* wanted = std::getenv("PYRAMIDION_THREADS")) {
    const long count = std::strtol(wanted, nullptr, 10);
    if (count >= 1 && count <= 1024) return static_cast<size_t>(count);
  }
  return usable_cores();
}

void set_error_class(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsFunction()) {
    throw Napi::TypeError::New(info.Env(), "setErrorClass takes a constructor");
  }
  info.Env().GetInstanceData<Environment>()->error_class = Napi::Persistent(info[0].As<Napi::Function>());
}

}  // namespace

ThreadPool& shared_pool() {
  static ThreadPool& pool = *new ThreadPool(initial_threads());
  return pool;
}

Napi::Error to_javascript(Napi::Env env, const Error& error) {
  const auto code = Napi::String::New(env, error.code());
  const Environment* environment = env.GetInstanceData<Environment>();
  if (environment != nullptr && !environment->error_class.IsEmpty()) {
    return Napi::Error(env, environment->error_class.New({code, Napi::String::New(env, error.what())}));
  }
  Napi::Error plain = Napi::Error::New(env, error.what());
  plain.Set("code", code);
  return plain;
}

JobQueue& job_queue(Napi::Env env) { return env.GetInstanceData<Environment>()->jobs; }

void register_environment(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment(env);
  env.SetInstanceData(environment);
  // Runs before the instance data goes away, while references may still be freed.
  env.AddCleanupHook([environment] { environment->jobs.close(); });
  exports["setErrorClass"] = Napi::Function::New(env, set_error_class, "setErrorClass");
}

}  // namespace pyramidion
