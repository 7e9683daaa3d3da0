// Bindings of Rotation, ActivationQuantizer and Linear.
#include "core/linear/linear.h"
#include "addon/device_product.h"
#include "addon/environment.h"
#include "addon/job.h"
#include "addon/pvq.h"
#include "addon/register.h"
#include "addon/rotation.h"
#include "addon/weights.h"
#include "core/linear/linear_timing.h"
#include "core/matrix/half.h"
#include "cpu/pvq_search/dispatch.h"

namespace pyramidion {
namespace {

constexpr napi_type_tag kRotationTag = {0x6f1d3a5be2c94b07, 0x91c0d6e8f47a2b35};
constexpr napi_type_tag kActivationsTag = {0x7d21c48e90ab4f36, 0x85e1f2093c6d4ba7};
constexpr napi_type_tag kLinearTag = {0x2b8e47d0c35f4a19, 0xa4d7f05b9c83e612};

class RotationObject : public Napi::ObjectWrap<RotationObject> {
 public:
  explicit RotationObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] { rotation_ = build(call.argument(0, "parts")); });
    info.This().As<Napi::Object>().TypeTag(&kRotationTag);
  }

  static void define(Napi::Object exports) {
    exports["Rotation"] = DefineClass(
        exports.Env(), "Rotation",
        {InstanceMethod<&RotationObject::apply>("apply"), InstanceMethod<&RotationObject::apply_async>("applyAsync"),
         InstanceMethod<&RotationObject::turn_moments_async>("turnMomentsAsync")});
  }

  static std::shared_ptr<const Rotation> from(const Argument& argument) {
    if (!argument.value().IsObject()) argument.reject("a Rotation");
    const auto object = argument.value().As<Napi::Object>();
    if (!object.CheckTypeTag(&kRotationTag)) argument.reject("a Rotation");
    return Unwrap(object)->rotation_;
  }

 private:
  static std::shared_ptr<const Rotation> build(const Argument& parts) {
    const size_t width = parts["width"].integer(1, kMostRows);
    const Span<int8_t> signs = parts["signs"].array<int8_t>(width);
    const size_t sylvester_log2 = parts["sylvesterLog2"].integer(0, 31);
    if (width % (size_t{1} << sylvester_log2) != 0) {
      parts["sylvesterLog2"].reject("the logarithm of a power of two that divides parts.width");
    }
    std::vector<float> matrix;
    if (parts["matrix"].present()) {
      const size_t order = width >> sylvester_log2;
      const Span<float> given = parts["matrix"].array<float>(checked_product(order, order, "parts.matrix"));
      matrix.assign(given.data, given.data + given.size);
    }
    return std::make_shared<Rotation>(std::vector<int8_t>(signs.data, signs.data + width),
                                      static_cast<unsigned>(sylvester_log2), std::move(matrix));
  }

  Operation prepare(Call& call) {
    const size_t rows = call.argument(1, "rows").integer(0, kMostRows);
    const Span<float> x = call.argument(0, "x").array<float>(checked_product(rows, rotation_->width(), "x"));
    const bool inverse = call.argument(2, "inverse").boolean();
    Operation operation;
    operation.work = [=, rotation = rotation_] { rotation->apply(x.data, rows, inverse, shared_pool()); };
    return operation;
  }

  Napi::Value apply(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_now(call, [this](Call& c) { return prepare(c); });
  }

  Napi::Value apply_async(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_later(call, [this](Call& c) { return prepare(c); });
  }

  Napi::Value turn_moments_async(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_later(call, [this](Call& c) {
      const size_t width = rotation_->width();
      const Span<double> moments = c.argument(0, "moments").array<double>(checked_product(width, width, "moments"));
      Operation operation;
      operation.work = [=, rotation = rotation_] { rotation->turn_moments(moments.data, shared_pool()); };
      return operation;
    });
  }

  std::shared_ptr<const Rotation> rotation_;
};

class ActivationQuantizerObject : public Napi::ObjectWrap<ActivationQuantizerObject> {
 public:
  explicit ActivationQuantizerObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      const size_t width = call.argument(0, "width").integer(1, kMostRows);
      activations_ = build(width, call.argument(1, "settings"));
    });
    info.This().As<Napi::Object>().TypeTag(&kActivationsTag);
  }

  static void define(Napi::Object exports) {
    exports["ActivationQuantizer"] =
        DefineClass(exports.Env(), "ActivationQuantizer", {InstanceMethod<&ActivationQuantizerObject::apply>("apply")});
  }

  static std::shared_ptr<const ActivationQuantizer> from(const Argument& argument) {
    if (!argument.value().IsObject()) argument.reject("an ActivationQuantizer");
    const auto object = argument.value().As<Napi::Object>();
    if (!object.CheckTypeTag(&kActivationsTag)) argument.reject("an ActivationQuantizer");
    return Unwrap(object)->activations_;
  }

 private:
  static std::shared_ptr<const ActivationQuantizer> build(size_t width, const Argument& settings) {
    const Argument kind = settings["kind"];
    const std::string name = kind.string();
    if (name == "int8") return int8_activations(width);
    if (name == "mxint") {
      const auto bits = static_cast<unsigned>(settings["bits"].integer(2, 8));
      return mxint_activations(width, {bits, settings["blockSize"].integer(1, kMostRows)});
    }
    if (name == "pvq") {
      return pvq_activations(PvqLayout(width, pvq_segments(settings["segments"]), shared_pyramids()),
                             pvq_search_kernel().find);
    }
    kind.reject("int8, mxint or pvq");
  }

  Napi::Value apply(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_now(call, [this](Call& c) {
      const size_t tokens = c.argument(1, "tokens").integer(0, kMostRows);
      const Span<float> x = c.argument(0, "x").array<float>(checked_product(tokens, activations_->width(), "x"));
      Operation operation;
      operation.work = [=, activations = activations_] { activations->apply(x.data, tokens, shared_pool()); };
      return operation;
    });
  }

  std::shared_ptr<const ActivationQuantizer> activations_;
};

class LinearObject : public Napi::ObjectWrap<LinearObject> {
 public:
  explicit LinearObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] { linear_ = build(call.argument(0, "parts")); });
    info.This().As<Napi::Object>().TypeTag(&kLinearTag);
    Napi::MemoryManagement::AdjustExternalMemory(info.Env(), memory(*linear_));
  }

  void Finalize(Napi::Env env) override {
    if (linear_) Napi::MemoryManagement::AdjustExternalMemory(env, -memory(*linear_));
  }

  static std::shared_ptr<const Linear> from(const Argument& argument) {
    if (!argument.value().IsObject()) argument.reject("a Linear");
    const auto object = argument.value().As<Napi::Object>();
    if (!object.CheckTypeTag(&kLinearTag)) argument.reject("a Linear");
    return Unwrap(object)->linear_;
  }

  static void define(Napi::Object exports) {
    exports["Linear"] = DefineClass(
        exports.Env(), "Linear",
        {InstanceMethod<&LinearObject::forward>("forward"),
         InstanceMethod<&LinearObject::forward_async>("forwardAsync"),
         InstanceMethod<&LinearObject::least_seconds_async>("leastSecondsAsync"),
         InstanceMethod<&LinearObject::backward>("backward"), InstanceMethod<&LinearObject::gather_rows>("gatherRows"),
         InstanceMethod<&LinearObject::scales>("scales"), InstanceMethod<&LinearObject::set_scales>("setScales"),
         InstanceMethod<&LinearObject::scale_gradients>("scaleGradients"),
         InstanceAccessor<&LinearObject::bytes>("bytes"), InstanceAccessor<&LinearObject::device_bytes>("deviceBytes"),
         InstanceAccessor<&LinearObject::layout>("layout")});
  }

 private:
  static std::shared_ptr<const Linear> build(const Argument& argument) {
    LinearParts parts;
    const Weights weights = parse_weights(argument["weights"], memory_layout(argument));
    if (argument["rotation"].present()) {
      parts.rotation = RotationObject::from(argument["rotation"]);
      if (parts.rotation->width() != weights.columns) {
        argument["rotation"].reject_length(parts.rotation->width(),
                                           "weights.columns = " + std::to_string(weights.columns) + " for its width");
      }
    }
    if (argument["activations"].present()) {
      parts.activations = ActivationQuantizerObject::from(argument["activations"]);
      if (parts.activations->width() != weights.columns) {
        argument["activations"].reject_length(
            parts.activations->width(), "weights.columns = " + std::to_string(weights.columns) + " for its width");
      }
    }
    if (argument["bias"].present()) {
      const Span<float> bias = argument["bias"].array<float>(weights.rows);
      parts.bias.assign(bias.data, bias.data + bias.size);
    }
    const Argument low_rank = argument["lowRank"];
    if (low_rank.present()) {
      const size_t rank = low_rank["rank"].integer(1, weights.columns);
      parts.a = factor(low_rank, "a", "aScales", rank, weights.columns);
      parts.b = factor(low_rank, "b", "bScales", weights.rows, rank);
    }
    if (argument["device"].present()) {
      parts.device = device_product(argument["device"]);
      if (parts.device->in_features() != weights.columns || parts.device->out_features() != weights.rows) {
        argument["device"].reject("a product of these weights");
      }
      const bool integers = parts.activations && parts.activations->integers();
      if (parts.device->int8_inputs() != integers) argument["device"].reject("a product for these activations");
    }
    parts.weights = weights.build(0, weights.rows);
    return std::make_shared<Linear>(std::move(parts));
  }

  // argument: the layer's.
  static MemoryLayout memory_layout(const Argument& argument) {
    MemoryLayout layout = MemoryLayout::compact;
    if (argument["layout"].present()) {
      const MemoryLayout* found = find_memory_layout(argument["layout"].string());
      if (found == nullptr) argument["layout"].reject("compact, split or expanded");
      layout = *found;
    }
    const bool multiplies = argument["activations"].present() && !argument["device"].present();
    if (layout != MemoryLayout::compact || !multiplies) return layout;
    return ActivationQuantizerObject::from(argument["activations"])->integers() ? MemoryLayout::compact_integers
                                                                                : layout;
  }

  static std::unique_ptr<FactorMatrix> factor(const Argument& low_rank, const char* values_name,
                                              const char* scales_name, size_t rows, size_t columns) {
    const Span<int8_t> values = low_rank[values_name].array<int8_t>(checked_product(rows, columns, "lowRank"));
    const Span<uint16_t> scales = low_rank[scales_name].array<uint16_t>(rows * FactorMatrix::blocks(columns));
    return std::make_unique<FactorMatrix>(rows, columns, values.data, scales.data);
  }

  Operation prepare(Call& call) {
    const size_t tokens = call.argument(1, "tokens").integer(0, kMostRows);
    const Span<float> x = call.argument(0, "x").array<float>(checked_product(tokens, linear_->in_features(), "x"));
    const Span<float> y = call.argument(2, "y").array<float>(checked_product(tokens, linear_->out_features(), "y"));
    const bool prepared = call.argument(3, "prepared").boolean();
    Operation operation;
    operation.work = [=, linear = linear_] { linear->forward(x.data, tokens, y.data, prepared, shared_pool()); };
    return operation;
  }

  Napi::Value forward(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_now(call, [this](Call& c) { return prepare(c); });
  }

  Napi::Value forward_async(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_later(call, [this](Call& c) { return prepare(c); });
  }

  Napi::Value least_seconds_async(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_later(call, [this](Call& c) {
      const size_t tokens = c.argument(0, "tokens").integer(1, kMostRows);
      const auto seconds = std::make_shared<double>();
      Operation operation;
      operation.work = [=, linear = linear_] { *seconds = least_seconds(*linear, tokens, shared_pool()); };
      operation.result = [=](Napi::Env env) { return Napi::Number::New(env, *seconds); };
      return operation;
    });
  }

  Napi::Value backward(const Napi::CallbackInfo& info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      const size_t tokens = call.argument(1, "tokens").integer(0, kMostRows);
      const Span<float> gradient =
          call.argument(0, "gradient").array<float>(checked_product(tokens, linear_->out_features(), "gradient"));
      const Span<float> out =
          call.argument(2, "out").array<float>(checked_product(tokens, linear_->in_features(), "out"));
      const bool rotated = call.argument(3, "rotated").boolean(), accumulate = call.argument(4, "accumulate").boolean();
      linear_->backward(gradient.data, tokens, out.data, rotated, accumulate, shared_pool());
    });
    return info.Env().Undefined();
  }

  Napi::Value gather_rows(const Napi::CallbackInfo& info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      const Span<int32_t> ids = call.argument(0, "ids").array<int32_t>();
      const size_t rows = linear_->out_features();
      for (size_t i = 0; i < ids.size; ++i) {
        if (ids.data[i] >= 0 && static_cast<size_t>(ids.data[i]) < rows) continue;
        throw Error("INVALID_ARGUMENT", "ids must be between 0 and " + std::to_string(rows - 1) + ", got " +
                                            std::to_string(ids.data[i]) + " at position " + std::to_string(i));
      }
      const Span<float> out =
          call.argument(1, "out").array<float>(checked_product(ids.size, linear_->in_features(), "out"));
      linear_->gather_rows(ids.data, ids.size, out.data, shared_pool());
    });
    return info.Env().Undefined();
  }

  Napi::Value scales(const Napi::CallbackInfo& info) {
    const PvqMatrix* weights = linear_->pvq();
    if (weights == nullptr) return info.Env().Undefined();
    std::vector<uint16_t> halves;
    for (float scale : weights->row_scale()) halves.push_back(float_to_half(scale));
    return scales_object(info.Env(), halves, weights->levels());
  }

  Napi::Value set_scales(const Napi::CallbackInfo& info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      PvqMatrix& weights = pvq();
      if (linear_->device_bytes() > 0)
        throw Error("INVALID_ARGUMENT", "scales of a layer on a device cannot be changed");
      const Span<uint16_t> row_scale = call.argument(0, "rowScale").array<uint16_t>(weights.rows());
      const Span<float> levels = call.argument(1, "levels").array<float>(weights.levels().size());
      weights.set_scales(row_scale.data, levels.data);
    });
    return info.Env().Undefined();
  }

  Napi::Value scale_gradients(const Napi::CallbackInfo& info) {
    Call call(info);
    Napi::Value result;
    translate_errors(info.Env(), [&] {
      pvq();
      const size_t tokens = call.argument(2, "tokens").integer(0, kMostRows);
      const Span<float> x = call.argument(0, "x").array<float>(checked_product(tokens, linear_->in_features(), "x"));
      const Span<float> gradient =
          call.argument(1, "gradient").array<float>(checked_product(tokens, linear_->out_features(), "gradient"));
      const ScaleGradients found = linear_->scale_gradients(x.data, gradient.data, tokens, shared_pool());
      result = scales_object(info.Env(), found.row_scale, found.levels);
    });
    return result;
  }

  PvqMatrix& pvq() const {
    if (PvqMatrix* weights = linear_->pvq()) return *weights;
    throw Error("INVALID_ARGUMENT", "the layer's weights must be pvq to have scales");
  }

  template <class S, class L>
  static Napi::Value scales_object(Napi::Env env, const std::vector<S>& row_scale, const std::vector<L>& levels) {
    Napi::Object result = Napi::Object::New(env);
    result["rowScale"] = to_typed_array(env, row_scale);
    result["levels"] = to_typed_array(env, levels);
    return result;
  }

  Napi::Value bytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(linear_->bytes()));
  }

  Napi::Value device_bytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(linear_->device_bytes()));
  }

  // What goes when the object does; a device's memory counts like the process's.
  static int64_t memory(const Linear& linear) { return static_cast<int64_t>(linear.bytes() + linear.device_bytes()); }

  Napi::Value layout(const Napi::CallbackInfo& info) {
    const PvqMatrix* weights = linear_->pvq();
    if (weights == nullptr) return info.Env().Undefined();
    return Napi::String::New(info.Env(), name_of(weights->memory_layout()));
  }

  std::shared_ptr<const Linear> linear_;
};

}  // namespace

std::shared_ptr<const Rotation> rotation_of(const Argument& argument) { return RotationObject::from(argument); }

std::shared_ptr<const Linear> linear_of(const Argument& argument) { return LinearObject::from(argument); }

void register_linear(Napi::Object exports) {
  RotationObject::define(exports);
  ActivationQuantizerObject::define(exports);
  LinearObject::define(exports);
}

}  // namespace pyramidion
