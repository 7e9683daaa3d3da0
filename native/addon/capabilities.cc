// What the machine offers, what the addon chose from it, and the number of threads.
#include <algorithm>

#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "cpu/instruction_set.h"
#include "cpu/pvq_decode/dispatch.h"
#include "cpu/pvq_search/dispatch.h"

namespace pyramidion {
namespace {

const char* architecture() {
#if defined(__x86_64__)
  return "x64";
#elif defined(__aarch64__)
  return "arm64";
#else
  return "other";
#endif
}

// The best set in use that has a PVQ decoder of its own; it need not handle every code.
InstructionSet best_pvq_decode() {
  InstructionSet best = InstructionSet::portable;
  for (const PvqDecodeKernel& kernel : pvq_decode_kernels()) {
    if (kernel.instruction_set <= instruction_set()) best = std::max(best, kernel.instruction_set);
  }
  return best;
}

Napi::Value capabilities(Call& call) {
  const Napi::Env env = call.env();
  Napi::Array sets = Napi::Array::New(env);
  for (const Extension& extension : extensions()) {
    if (extension.present) sets[sets.Length()] = Napi::String::New(env, extension.name);
  }
  Napi::Object kernels = Napi::Object::New(env);
  kernels["pvqSearch"] = Napi::String::New(env, name_of(pvq_search_kernel().instruction_set));
  kernels["pvqDecode"] = Napi::String::New(env, name_of(best_pvq_decode()));
  kernels["floats"] = Napi::String::New(env, name_of(std::min(instruction_set(), InstructionSet::avx512)));
  Napi::Object result = Napi::Object::New(env);
  result["architecture"] = Napi::String::New(env, architecture());
  result["instructionSets"] = sets;
  result["kernels"] = kernels;
  result["threads"] = Napi::Number::New(env, static_cast<double>(shared_pool().size()));
  return result;
}

Napi::Value set_thread_count(Call& call) {
  shared_pool().resize(call.argument(0, "count").integer(1, 1024));
  return call.env().Undefined();
}

}  // namespace

void register_capabilities(Napi::Object exports) {
  export_function(exports, "capabilities", capabilities);
  export_function(exports, "setThreadCount", set_thread_count);
}

}  // namespace pyramidion
