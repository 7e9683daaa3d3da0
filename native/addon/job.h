// One way to write an operation: arguments are checked on the JavaScript thread, work runs on any thread, the result is
// made on the JavaScript thread again. Each operation can be exported as it is, as its promise-returning twin, or both.
#pragma once

#include <functional>

#include "addon/arguments.h"

namespace pyramidion {

struct Operation {
  // Touches core and the arguments' memory only: no Napi. Raises pyramidion::Error on failure.
  std::function<void()> work;
  // Makes the value to return from what work left behind. Empty: the operation returns undefined.
  std::function<Napi::Value(Napi::Env)> result;
  // Asked to stop when the environment goes away before the work is done.
  JobControl control;
};

// Checks the arguments of a call and says what to do with them.
using Prepare = Operation (*)(Call& call);
// A call small enough to answer at once.
using Function = Napi::Value (*)(Call& call);

// exports[name]: prepares, works and returns the result before it returns.
void export_synchronous(Napi::Object exports, const char* name, Prepare prepare);
// exports[name]: prepares, then works on a thread of the addon's own and returns a promise. Bad arguments throw at
// once. The arrays the call named, and the receiver, stay alive until the promise settles.
void export_asynchronous(Napi::Object exports, const char* name, Prepare prepare);
// exports[name] and exports[nameAsync].
void export_both(Napi::Object exports, const char* name, Prepare prepare);
void export_function(Napi::Object exports, const char* name, Function function);

// The same for the methods of a class: run the prepared operation of this call now, or later.
Napi::Value run_now(Call& call, const std::function<Operation(Call&)>& prepare);
Napi::Value run_later(Call& call, const std::function<Operation(Call&)>& prepare);

// Runs action, turning pyramidion::Error and failures of the C++ library into JavaScript exceptions.
void translate_errors(Napi::Env env, const std::function<void()>& action);

}  // namespace pyramidion
