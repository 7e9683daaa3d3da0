// What the machine offers, what the addon chose from it, and the number of threads.
#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "core/parallel/read_bandwidth.h"
#include "core/pvq/residue_rows.h"
#include "cpu/expanded_product/dispatch.h"
#include "cpu/floats/kernels.h"
#include "cpu/guided_rounding/dispatch.h"
#include "cpu/packed_product/dispatch.h"
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

// The best set in use that a family has a form for, which need not handle every code; kernels: best first.
template <class Kernel>
Napi::Value best_of(Napi::Env env, const std::vector<Kernel>& kernels) {
  for (const Kernel& kernel : kernels) {
    if (kernel.instruction_set <= instruction_set()) return Napi::String::New(env, name_of(kernel.instruction_set));
  }
  return env.Undefined();
}

Napi::Value capabilities(Call& call) {
  const Napi::Env env = call.env();
  Napi::Array sets = Napi::Array::New(env);
  for (const Extension& extension : extensions()) {
    if (extension.present) sets[sets.Length()] = Napi::String::New(env, extension.name);
  }
  Napi::Object kernels = Napi::Object::New(env);
  kernels["pvqSearch"] = best_of(env, pvq_search_kernels());
  kernels["pvqDecode"] = best_of(env, pvq_decode_kernels());
  kernels["packedProduct"] = best_of(env, packed_product_kernels<ResidueRows>());
  kernels["integerProduct"] = best_of(env, expanded_product_kernels());
  kernels["guidedRounding"] = best_of(env, guided_kernels());
  kernels["floats"] = Napi::String::New(env, name_of(float_instruction_set()));
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

Operation prepare_read_bandwidth(Call&) {
  const auto rate = std::make_shared<double>();
  Operation operation;
  operation.work = [=] { *rate = read_bandwidth(shared_pool()); };
  operation.result = [=](Napi::Env env) { return Napi::Number::New(env, *rate); };
  return operation;
}

}  // namespace

void register_capabilities(Napi::Object exports) {
  export_function(exports, "capabilities", capabilities);
  export_function(exports, "setThreadCount", set_thread_count);
  export_asynchronous(exports, "readBandwidthAsync", prepare_read_bandwidth);
}

}  // namespace pyramidion
