// Binding of calibrated rounding: PvqGuide of lib/native.ts.
#include <mutex>

#include "addon/background_release.h"
#include "addon/environment.h"
#include "addon/pvq.h"
#include "core/calibrated/guided_encoder.h"
#include "core/calibrated/output_weights.h"
#include "cuda/quantization/guided_device.h"

namespace pyramidion {
namespace {

// What rows are rounded under, made on the first job's thread because factoring takes a while.
class GuideObject : public Napi::ObjectWrap<GuideObject> {
 public:
  explicit GuideObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] { prepare_plan(call); });
  }

  static void define(Napi::Object exports) {
    exports["PvqGuide"] = DefineClass(
        exports.Env(), "PvqGuide",
        {InstanceMethod<&GuideObject::encode_async>("encodeAsync"), InstanceMethod<&GuideObject::release>("release")});
  }

 private:
  struct State {
    std::shared_ptr<const PvqLayout> layout;
    std::vector<double> hessian;
    GuidedOptions options;
    std::once_flag once;
    std::unique_ptr<const GuidedPlan> plan;
    // What a GPU keeps of the plan, from the first job there to release().
    std::mutex device_mutex;
    std::shared_ptr<cuda::GuidedDevice> device;

    std::shared_ptr<cuda::GuidedDevice> on_device() {
      const std::lock_guard<std::mutex> lock(device_mutex);
      if (!device) {
        device = {new cuda::GuidedDevice(*layout), [](const cuda::GuidedDevice* released) {
                    BackgroundRelease::shared().run([released] { delete released; });
                  }};
      }
      return device;
    }
  };

  void prepare_plan(Call& call) {
    const size_t columns = call.argument(0, "columns").integer(1, size_t{1} << 16);
    state_->layout =
        std::make_shared<const PvqLayout>(columns, pvq_segments(call.argument(1, "segments")), shared_pyramids());
    const Span<double> hessian = call.argument(2, "hessian").array<double>(columns * columns);
    state_->hessian.assign(hessian.data, hessian.data + hessian.size);
    const Argument settings = call.argument(3, "settings");
    state_->options.ridge = settings["ridge"].number(1e-9, 1e9);
    state_->options.moves = static_cast<int>(settings["moves"].integer(0, 1000));
    state_->options.sweeps = static_cast<int>(settings["sweeps"].integer(0, 1000));
    state_->options.feedback = settings["feedback"].boolean();
    state_->options.ordered = settings["ordered"].boolean();
  }

  Napi::Value encode_async(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_later(call, [this](Call& c) { return prepare(c); });
  }

  Napi::Value release(const Napi::CallbackInfo& info) {
    const std::lock_guard<std::mutex> lock(state_->device_mutex);
    state_->device.reset();
    return info.Env().Undefined();
  }

  Operation prepare(Call& call) {
    const size_t rows = call.argument(1, "rows").integer(1, kMostEncodedRows);
    const size_t size = checked_product(rows, state_->layout->columns, "values");
    const Span<float> values = call.argument(0, "values").array<float>(size);
    const JobControl control = call.job_control(2);
    // Copied here, because it is read on another thread.
    auto output_hessian = std::make_shared<std::vector<double>>();
    double share = 0;
    if (const Argument coupling = call.argument(3, "coupling"); coupling.present()) {
      const Span<double> hessian =
          coupling["outputHessian"].array<double>(checked_product(rows, rows, "outputHessian"));
      output_hessian->assign(hessian.data, hessian.data + hessian.size);
      share = coupling["share"].number(0, kMostOutputShare);
    }
    const bool on_gpu = call.argument(4, "onGpu").flag();
    return encoding(control, [=, state = state_] {
      std::call_once(state->once, [&] {
        state->plan = std::make_unique<GuidedPlan>(state->hessian.data(), state->layout, state->options, shared_pool());
        state->hessian = {};
      });
      const std::shared_ptr<cuda::GuidedDevice> device = on_gpu ? state->on_device() : nullptr;
      // For so many rows at a time.
      const auto sweeps = [&](size_t count) -> std::unique_ptr<GuidedSweeps> {
        if (!device) return std::make_unique<KernelSweeps>(guided_kernel());
        return device->sweeps(count, shared_pool().size(), control);
      };
      const GuidedPlan& plan = *state->plan;
      if (output_hessian->empty()) return plan.encode(values.data, rows, shared_pool(), control, *sweeps(rows));
      const RowCoupling coupling(output_hessian->data(), rows, share, shared_pool());
      return plan.encode(values.data, rows, coupling, shared_pool(), control, *sweeps(coupling.first_of(1)));
    });
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace

void define_pvq_guide(Napi::Object exports) { GuideObject::define(exports); }

}  // namespace pyramidion
