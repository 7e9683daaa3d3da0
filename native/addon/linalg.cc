// Bindings of the Hessian, low-rank factors, and expected errors.
#include <cmath>
#include <string>

#include "addon/background_release.h"
#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "addon/weights.h"
#include "core/calibrated/conditional_variances.h"
#include "core/calibrated/output_weights.h"
#include "core/linalg/hessian.h"
#include "core/linalg/low_rank.h"
#include "core/linalg/residual.h"
#include "core/linalg/symmetric.h"
#include "cuda/quantization/hessian_sums.h"

namespace pyramidion {
namespace {

constexpr size_t kWidest = 1 << 20;

// An error matrix: arguments error, rows, columns at 0, 1, 2.
struct ErrorMatrix {
  size_t rows, columns;
  Span<float> values;

  explicit ErrorMatrix(Call& call)
      : rows(call.argument(1, "rows").integer(1, kMostRows)),
        columns(call.argument(2, "columns").integer(1, kWidest)),
        values(call.argument(0, "error").array<float>(checked_product(rows, columns, "error"))) {}
};

void check_scale(const Span<double>& scale) {
  for (size_t i = 0; i < scale.size; ++i) {
    if (scale.data[i] > 0 && std::isfinite(scale.data[i])) continue;
    throw Error("INVALID_ARGUMENT", "scaling.scale must be positive and finite, got " + std::to_string(scale.data[i]) +
                                        " at position " + std::to_string(i));
  }
}

Operation bind_low_rank_factors(Call& call) {
  const ErrorMatrix error(call);
  const size_t rank = call.argument(3, "rank").integer(1, std::min(error.rows, error.columns));
  const Argument scaling = call.argument(4, "scaling");
  const std::string kind = scaling["kind"].string();
  const auto factors = std::make_shared<LowRankFactors>();
  const float* values = error.values.data;
  const size_t rows = error.rows, columns = error.columns;
  Operation operation;
  if (kind == "identity") {
    operation.work = [=] { *factors = low_rank_factors(values, rows, columns, rank, shared_pool()); };
  } else if (kind == "diagonal") {
    const Span<double> scale = scaling["scale"].array<double>(columns);
    check_scale(scale);
    operation.work = [=] {
      *factors = low_rank_factors_diagonal(values, rows, columns, rank, scale.data, shared_pool());
    };
  } else if (kind == "hessian") {
    const Span<double> hessian = scaling["hessian"].array<double>(columns * columns);
    const double ridge = scaling["ridge"].number(0, 1e6);
    operation.work = [=] {
      *factors = low_rank_factors_hessian(values, rows, columns, rank, hessian.data, ridge, shared_pool());
    };
  } else {
    scaling["kind"].reject("identity, diagonal or hessian");
  }
  operation.result = [=](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result["a"] = to_typed_array(env, factors->a);
    result["b"] = to_typed_array(env, factors->b);
    return result;
  };
  return operation;
}

Operation bind_expected_error(Call& call) {
  const ErrorMatrix error(call);
  const Span<double> hessian = call.argument(3, "hessian").array<double>(error.columns * error.columns);
  const auto expected = std::make_shared<double>();
  Operation operation;
  operation.work = [=] {
    *expected = expected_error(error.values.data, error.rows, error.columns, hessian.data, shared_pool());
  };
  operation.result = [=](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, *expected); };
  return operation;
}

Operation bind_output_factor(Call& call) {
  const size_t rows = call.argument(1, "rows").integer(1, kMostRows);
  const Span<double> hessian =
      call.argument(0, "outputHessian").array<double>(checked_product(rows, rows, "outputHessian"));
  const double share = call.argument(2, "share").number(0, kMostOutputShare);
  const auto factor = std::make_shared<std::vector<double>>();
  Operation operation;
  operation.work = [=] { *factor = output_factor(hessian.data, rows, share, shared_pool()); };
  operation.result = [=](Napi::Env env) -> Napi::Value { return to_typed_array(env, *factor); };
  return operation;
}

Operation bind_weigh_outputs(Call& call) {
  const ErrorMatrix error(call);
  const Span<double> factor =
      call.argument(3, "factor").array<double>(checked_product(error.rows, error.rows, "factor"));
  const bool inverse = call.argument(4, "inverse").flag();
  const auto weighed = std::make_shared<std::vector<float>>();
  Operation operation;
  operation.work = [=] {
    const auto weigh = inverse ? unweigh_outputs : weigh_outputs;
    *weighed = weigh(factor.data, error.values.data, error.rows, error.columns, shared_pool());
  };
  operation.result = [=](Napi::Env env) -> Napi::Value { return to_typed_array(env, *weighed); };
  return operation;
}

Operation bind_conditional_variances(Call& call) {
  const size_t n = call.argument(1, "size").integer(1, kWidest);
  const Span<double> hessian = call.argument(0, "hessian").array<double>(checked_product(n, n, "hessian"));
  const double ridge = call.argument(2, "ridge").number(0, 1e6);
  const auto variances = std::make_shared<std::vector<double>>();
  Operation operation;
  operation.work = [=] { *variances = conditional_variances(hessian.data, n, ridge, shared_pool()); };
  operation.result = [=](Napi::Env env) -> Napi::Value { return to_typed_array(env, *variances); };
  return operation;
}

Operation bind_unpack_lower(Call& call) {
  const size_t width = call.argument(1, "width").integer(1, kWidest);
  const Span<float> packed = call.argument(0, "packed").array<float>(checked_product(width, width + 1, "packed") / 2);
  const auto matrix = std::make_shared<std::vector<double>>(checked_product(width, width, "packed"));
  Operation operation;
  operation.work = [=] { unpack_lower(packed.data, width, matrix->data(), shared_pool()); };
  operation.result = [=](Napi::Env env) -> Napi::Value { return to_typed_array(env, *matrix); };
  return operation;
}

Operation bind_subtract(Call& call) {
  const Span<float> values = call.argument(0, "values").array<float>();
  const Span<float> approximation = call.argument(1, "approximation").array<float>(values.size);
  const auto squares = std::make_shared<ResidualSquares>();
  Operation operation;
  operation.work = [=] { *squares = subtract(values.data, approximation.data, values.size, shared_pool()); };
  operation.result = [=](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result["before"] = squares->before;
    result["after"] = squares->after;
    return result;
  };
  return operation;
}

class HessianObject : public Napi::ObjectWrap<HessianObject> {
 public:
  explicit HessianObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      const size_t width = call.argument(0, "width").integer(1, kWidest);
      if (!call.argument(1, "onGpu").flag()) {
        hessian_ = std::make_shared<Hessian>(width);
        return;
      }
      auto sums = std::make_unique<cuda::HessianSums>(width, Hessian::tile);
      hessian_ = std::shared_ptr<Hessian>(new Hessian(width, std::move(sums)), [](const Hessian* hessian) {
        BackgroundRelease::shared().run([hessian] { delete hessian; });
      });
    });
  }

  static void define(Napi::Object exports) {
    exports["Hessian"] = DefineClass(
        exports.Env(), "Hessian",
        {InstanceMethod<&HessianObject::add>("add"), InstanceMethod<&HessianObject::add_async>("addAsync"),
         InstanceMethod<&HessianObject::mean>("mean"), InstanceMethod<&HessianObject::mean_magnitude>("meanMagnitude"),
         InstanceAccessor<&HessianObject::tokens>("tokens")});
  }

 private:
  Operation prepare(Call& call) {
    const size_t tokens = call.argument(1, "tokens").integer(0, kMostRows);
    const Span<float> x = call.argument(0, "x").array<float>(checked_product(tokens, hessian_->width(), "x"));
    const Argument weights_argument = call.argument(2, "weights");
    const Span<float> weights = weights_argument.present() ? weights_argument.array<float>(tokens) : Span<float>{};
    Operation operation;
    operation.work = [=, hessian = hessian_] { hessian->add(x.data, weights.data, tokens, shared_pool()); };
    return operation;
  }

  Napi::Value add(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_now(call, [this](Call& c) { return prepare(c); });
  }

  Napi::Value add_async(const Napi::CallbackInfo& info) {
    Call call(info);
    return run_later(call, [this](Call& c) { return prepare(c); });
  }

  Napi::Value mean(const Napi::CallbackInfo& info) {
    Napi::Value result;
    translate_errors(info.Env(), [&] { result = to_typed_array(info.Env(), hessian_->mean(shared_pool())); });
    return result;
  }

  Napi::Value mean_magnitude(const Napi::CallbackInfo& info) {
    return to_typed_array(info.Env(), hessian_->mean_magnitude());
  }

  Napi::Value tokens(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(hessian_->tokens()));
  }

  std::shared_ptr<Hessian> hessian_;
};

}  // namespace

void register_linalg(Napi::Object exports) {
  HessianObject::define(exports);
  export_asynchronous(exports, "lowRankFactorsAsync", bind_low_rank_factors);
  export_asynchronous(exports, "expectedErrorAsync", bind_expected_error);
  export_asynchronous(exports, "outputFactorAsync", bind_output_factor);
  export_asynchronous(exports, "weighOutputsAsync", bind_weigh_outputs);
  export_asynchronous(exports, "conditionalVariancesAsync", bind_conditional_variances);
  export_asynchronous(exports, "unpackLowerAsync", bind_unpack_lower);
  export_asynchronous(exports, "subtractAsync", bind_subtract);
}

}  // namespace pyramidion
