// Bindings of the moments of a drift and of the matrices that take it back.
#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "addon/weights.h"
#include "core/linalg/drift.h"
#include "core/linalg/product.h"

namespace pyramidion {
namespace {

constexpr size_t kWidest = 1 << 20;

Operation bind_ridge_regression(Call& call) {
  const size_t rows = call.argument(1, "rows").integer(1, kWidest);
  const size_t columns = call.argument(2, "columns").integer(1, kWidest);
  const Span<double> moment = call.argument(0, "moment").array<double>(checked_product(rows, columns, "moment"));
  const Span<double> hessian = call.argument(3, "hessian").array<double>(checked_product(columns, columns, "hessian"));
  const double ridge = call.argument(4, "ridge").number(0, 1e6);
  const auto map = std::make_shared<std::vector<float>>();
  Operation operation;
  operation.work = [=] {
    *map = ridge_regression(moment.data, rows, hessian.data, columns, ridge, shared_pool());
  };
  operation.result = [=](Napi::Env env) -> Napi::Value { return to_typed_array(env, *map); };
  return operation;
}

Operation bind_add_product(Call& call) {
  const size_t rows = call.argument(2, "rows").integer(1, kMostRows);
  const size_t depth = call.argument(3, "depth").integer(1, kWidest);
  const size_t columns = call.argument(4, "columns").integer(1, kWidest);
  const Span<float> a = call.argument(0, "a").array<float>(checked_product(rows, depth, "a"));
  const Span<float> b = call.argument(1, "b").array<float>(checked_product(depth, columns, "b"));
  const float factor = static_cast<float>(call.argument(5, "factor").number(-1e6, 1e6));
  const Span<float> out = call.argument(6, "out").array<float>(checked_product(rows, columns, "out"));
  Operation operation;
  operation.work = [=] {
    product<float>({a.data, rows, depth}, {b.data, depth, columns}, factor, true, {out.data, rows, columns},
                   shared_pool());
  };
  return operation;
}

class DriftMomentObject : public Napi::ObjectWrap<DriftMomentObject> {
 public:
  explicit DriftMomentObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      moment_ = std::make_shared<DriftMoment>(call.argument(0, "width").integer(1, kWidest),
                                              call.argument(1, "inputWidth").integer(1, kWidest));
    });
  }

  static void define(Napi::Object exports) {
    exports["DriftMoment"] =
        DefineClass(exports.Env(), "DriftMoment",
                    {InstanceMethod<&DriftMomentObject::add>("add"), InstanceMethod<&DriftMomentObject::mean>("mean"),
                     InstanceAccessor<&DriftMomentObject::tokens>("tokens")});
  }

 private:
  Napi::Value add(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_now(call, [this](Call& c) {
      const size_t tokens = c.argument(3, "tokens").integer(0, kMostRows);
      const Span<float> x = c.argument(0, "x").array<float>(checked_product(tokens, moment_->width(), "x"));
      const Span<float> y = c.argument(1, "y").array<float>(checked_product(tokens, moment_->width(), "y"));
      const Span<float> z = c.argument(2, "z").array<float>(checked_product(tokens, moment_->input_width(), "z"));
      Operation operation;
      operation.work = [=, moment = moment_] { moment->add(x.data, y.data, z.data, tokens, shared_pool()); };
      return operation;
    });
  }

  Napi::Value mean(const Napi::CallbackInfo& info) {
    Napi::Value result;
    translate_errors(info.Env(), [&] { result = to_typed_array(info.Env(), moment_->mean()); });
    return result;
  }

  Napi::Value tokens(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(moment_->tokens()));
  }

  std::shared_ptr<DriftMoment> moment_;
};

}  // namespace

void register_drift(Napi::Object exports) {
  DriftMomentObject::define(exports);
  export_asynchronous(exports, "ridgeRegressionAsync", bind_ridge_regression);
  export_asynchronous(exports, "addProductAsync", bind_add_product);
}

}  // namespace pyramidion
