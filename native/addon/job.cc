#include "addon/job.h"

#include <new>
#include <string>

#include "addon/environment.h"
#include "addon/job_queue.h"

namespace pyramidion {
namespace {

template <class Entry>
void define(Napi::Object exports, const std::string& name, Napi::Value (*callback)(const Napi::CallbackInfo&),
            Entry entry) {
  exports[name] = Napi::Function::New(exports.Env(), callback, name, reinterpret_cast<void*>(entry));
}

Napi::Value call_synchronous(const Napi::CallbackInfo& info) {
  Call call(info);
  return run_now(call, reinterpret_cast<Prepare>(info.Data()));
}

Napi::Value call_asynchronous(const Napi::CallbackInfo& info) {
  Call call(info);
  return run_later(call, reinterpret_cast<Prepare>(info.Data()));
}

Napi::Value call_function(const Napi::CallbackInfo& info) {
  Call call(info);
  Napi::Value result;
  translate_errors(info.Env(), [&] { result = reinterpret_cast<Function>(info.Data())(call); });
  return result;
}

}  // namespace

void export_synchronous(Napi::Object exports, const char* name, Prepare prepare) {
  define(exports, name, call_synchronous, prepare);
}

void export_asynchronous(Napi::Object exports, const char* name, Prepare prepare) {
  define(exports, name, call_asynchronous, prepare);
}

void export_both(Napi::Object exports, const char* name, Prepare prepare) {
  define(exports, name, call_synchronous, prepare);
  define(exports, std::string(name) + "Async", call_asynchronous, prepare);
}

void export_function(Napi::Object exports, const char* name, Function function) {
  define(exports, name, call_function, function);
}

Napi::Value run_now(Call& call, const std::function<Operation(Call&)>& prepare) {
  Napi::Value result = call.env().Undefined();
  translate_errors(call.env(), [&] {
    const Operation operation = prepare(call);
    operation.work();
    if (operation.result) result = operation.result(call.env());
  });
  return result;
}

Napi::Value run_later(Call& call, const std::function<Operation(Call&)>& prepare) {
  Napi::Value promise;
  translate_errors(call.env(), [&] { promise = job_queue(call.env()).start(call, prepare(call)); });
  return promise;
}

void translate_errors(Napi::Env env, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    throw to_javascript(env, error);
  } catch (const std::bad_alloc&) {
    throw to_javascript(env, Error("OUT_OF_MEMORY", "out of memory"));
  }
}

}  // namespace pyramidion
