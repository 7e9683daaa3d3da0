// Bindings of the model graph's operations and their gradients.
#include <limits>

#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "addon/weights.h"
#include "core/model/attention.h"
#include "core/model/attention_backward.h"
#include "core/model/elementwise.h"
#include "core/model/elementwise_backward.h"
#include "core/model/logit_gradient.h"
#include "core/model/logit_statistics.h"

namespace pyramidion {
namespace {

Napi::Value bind_rms_norm(Call& call) {
  const Span<float> weight = call.argument(1, "weight").array<float>();
  if (weight.size == 0) call.argument(1, "weight").reject_length(0, "1 value or more");
  const auto epsilon = static_cast<float>(call.argument(2, "epsilon").number(0, 1));
  const size_t rows = call.argument(3, "rows").integer(0, kMostRows);
  const size_t count = checked_product(rows, weight.size, "x");
  const Span<float> x = call.argument(0, "x").array<float>(count);
  const Span<float> out = call.argument(4, "out").array<float>(count);
  rms_norm(x.data, weight.data, weight.size, epsilon, rows, out.data, shared_pool());
  return call.env().Undefined();
}

Napi::Value bind_rotary(Call& call) {
  const Span<float> x = call.argument(0, "x").array<float>();
  const size_t tokens = call.argument(1, "tokens").integer(1, kMostRows);
  const size_t heads = call.argument(2, "heads").integer(1, kMostRows);
  const Span<float> cosine = call.argument(3, "cosine").array<float>();
  const size_t half = cosine.size / tokens;
  if (cosine.size % tokens != 0) {
    call.argument(3, "cosine")
        .reject_length(cosine.size, "a multiple of tokens = " + std::to_string(tokens) + " values");
  }
  const Span<float> sine = call.argument(4, "sine").array<float>(cosine.size);
  call.argument(0, "x").array<float>(checked_product(cosine.size, 2 * heads, "x"));
  rotary(x.data, tokens, heads, half, cosine.data, sine.data, shared_pool());
  return call.env().Undefined();
}

Napi::Value bind_rms_norm_backward(Call& call) {
  const Span<float> weight = call.argument(1, "weight").array<float>();
  if (weight.size == 0) call.argument(1, "weight").reject_length(0, "1 value or more");
  const auto epsilon = static_cast<float>(call.argument(2, "epsilon").number(0, 1));
  const size_t rows = call.argument(3, "rows").integer(0, kMostRows);
  const size_t count = checked_product(rows, weight.size, "x");
  const Span<float> x = call.argument(0, "x").array<float>(count);
  const Span<float> gradient = call.argument(4, "gradient").array<float>(count);
  const Span<float> out = call.argument(5, "out").array<float>(count);
  rms_norm_backward(x.data, weight.data, weight.size, epsilon, rows, gradient.data, out.data, shared_pool());
  return call.env().Undefined();
}

Napi::Value bind_rms_norm_weight_gradient(Call& call) {
  const auto epsilon = static_cast<float>(call.argument(1, "epsilon").number(0, 1));
  const size_t rows = call.argument(2, "rows").integer(0, kMostRows);
  const Span<double> out = call.argument(4, "out").array<double>();
  if (out.size == 0) call.argument(4, "out").reject_length(0, "1 value or more");
  const size_t count = checked_product(rows, out.size, "x");
  const Span<float> x = call.argument(0, "x").array<float>(count);
  const Span<float> gradient = call.argument(3, "gradient").array<float>(count);
  rms_norm_weight_gradient(x.data, out.size, epsilon, rows, gradient.data, out.data, shared_pool());
  return call.env().Undefined();
}

AttentionShape attention_shape(const Argument& options) {
  AttentionShape shape{};
  shape.tokens = options["tokens"].integer(0, kMostRows);
  shape.heads = options["heads"].integer(1, 65536);
  shape.key_value_heads = options["keyValueHeads"].integer(1, shape.heads);
  shape.head_dimension = options["headDimension"].integer(1, 65536);
  shape.window = options["window"].integer(0, kMostRows);
  if (shape.heads % shape.key_value_heads != 0) options["keyValueHeads"].reject("a divisor of shape.heads");
  return shape;
}

Napi::Value bind_attention(Call& call) {
  const AttentionShape shape = attention_shape(call.argument(3, "shape"));
  const size_t count = checked_product(shape.tokens, shape.heads * shape.head_dimension, "query");
  const size_t held = checked_product(shape.tokens, shape.key_value_heads * shape.head_dimension, "keys");
  const Span<float> query = call.argument(0, "query").array<float>(count);
  const Span<float> keys = call.argument(1, "keys").array<float>(held);
  const Span<float> values = call.argument(2, "values").array<float>(held);
  const Span<float> out = call.argument(4, "out").array<float>(count);
  if (shape.tokens > 0) {
    const KeyValues floats = KeyValues::of_floats(keys.data, values.data, shape.key_value_heads, shape.head_dimension);
    attention(query.data, floats, shape, out.data, shared_pool());
  }
  return call.env().Undefined();
}

Napi::Value bind_attention_backward(Call& call) {
  const AttentionShape shape = attention_shape(call.argument(4, "shape"));
  const size_t count = checked_product(shape.tokens, shape.heads * shape.head_dimension, "query");
  const size_t held = checked_product(shape.tokens, shape.key_value_heads * shape.head_dimension, "keys");
  const Span<float> query = call.argument(0, "query").array<float>(count);
  const Span<float> keys = call.argument(1, "keys").array<float>(held);
  const Span<float> values = call.argument(2, "values").array<float>(held);
  const Span<float> gradient = call.argument(3, "gradient").array<float>(count);
  const Span<float> query_gradient = call.argument(5, "queryGradient").array<float>(count);
  const Span<float> key_gradient = call.argument(6, "keyGradient").array<float>(held);
  const Span<float> value_gradient = call.argument(7, "valueGradient").array<float>(held);
  if (shape.tokens > 0) {
    attention_backward(query.data, keys.data, values.data, gradient.data, shape, query_gradient.data, key_gradient.data,
                       value_gradient.data, shared_pool());
  }
  return call.env().Undefined();
}

Napi::Value bind_silu_multiply(Call& call) {
  const Span<float> gate = call.argument(0, "gate").array<float>();
  const Span<float> up = call.argument(1, "up").array<float>(gate.size);
  const Span<float> out = call.argument(2, "out").array<float>(gate.size);
  silu_multiply(gate.data, up.data, out.data, gate.size, shared_pool());
  return call.env().Undefined();
}

Napi::Value bind_silu_multiply_backward(Call& call) {
  const Span<float> gate = call.argument(0, "gate").array<float>();
  const Span<float> up = call.argument(1, "up").array<float>(gate.size);
  const Span<float> gradient = call.argument(2, "gradient").array<float>(gate.size);
  silu_multiply_backward(gate.data, up.data, gradient.data, gate.size, shared_pool());
  return call.env().Undefined();
}

Napi::Value bind_add_in_place(Call& call) {
  const Span<float> x = call.argument(0, "x").array<float>();
  const Span<float> y = call.argument(1, "y").array<float>(x.size);
  add_in_place(x.data, y.data, x.size, shared_pool());
  return call.env().Undefined();
}

Napi::Value bind_row_squared_norms(Call& call) {
  const size_t width = call.argument(1, "width").integer(1, kMostRows);
  const Span<float> out = call.argument(2, "out").array<float>();
  const Span<float> x = call.argument(0, "x").array<float>(checked_product(out.size, width, "x"));
  row_squared_norms(x.data, width, out.size, out.data, shared_pool());
  return call.env().Undefined();
}

Napi::Value bind_logit_statistics(Call& call) {
  const size_t rows = call.argument(3, "rows").integer(0, kMostRows);
  const size_t vocabulary = call.argument(4, "vocabulary").integer(1, kMostRows - 1);
  const size_t count = checked_product(rows, vocabulary, "logits");
  const Span<float> logits = call.argument(0, "logits").array<float>(count);
  const Argument reference_argument = call.argument(1, "reference");
  const Span<float> reference = reference_argument.present() ? reference_argument.array<float>(count) : Span<float>{};
  const Span<int32_t> targets = call.argument(2, "targets").array<int32_t>(rows);
  for (size_t i = 0; i < rows; ++i) {
    if (targets.data[i] >= 0 && static_cast<size_t>(targets.data[i]) < vocabulary) continue;
    throw Error("INVALID_ARGUMENT", "targets must be between 0 and " + std::to_string(vocabulary - 1) + ", got " +
                                        std::to_string(targets.data[i]) + " at position " + std::to_string(i));
  }
  const LogitStatistics statistics =
      logit_statistics(logits.data, reference_argument.present() ? reference.data : nullptr, targets.data, rows,
                       vocabulary, shared_pool());
  Napi::Object result = Napi::Object::New(call.env());
  result["negativeLogLikelihood"] = to_typed_array(call.env(), statistics.negative_log_likelihood);
  if (reference_argument.present()) {
    result["referenceNegativeLogLikelihood"] = to_typed_array(call.env(), statistics.reference_negative_log_likelihood);
    result["klDivergence"] = to_typed_array(call.env(), statistics.kl_divergence);
    result["sameTop"] = to_typed_array(call.env(), statistics.same_top);
  }
  return result;
}

Napi::Value bind_sampled_label_gradient(Call& call) {
  const size_t rows = call.argument(1, "rows").integer(0, kMostRows);
  const size_t vocabulary = call.argument(2, "vocabulary").integer(1, kMostRows - 1);
  const Span<float> logits = call.argument(0, "logits").array<float>(checked_product(rows, vocabulary, "logits"));
  const Span<double> uniforms = call.argument(3, "uniforms").array<double>(rows);
  std::vector<int32_t> labels(rows);
  sampled_label_gradient(logits.data, rows, vocabulary, uniforms.data, labels.data(), shared_pool());
  return to_typed_array(call.env(), labels);
}

Napi::Value bind_distillation_gradient(Call& call) {
  const size_t rows = call.argument(2, "rows").integer(0, kMostRows);
  const size_t vocabulary = call.argument(3, "vocabulary").integer(1, kMostRows - 1);
  const size_t count = checked_product(rows, vocabulary, "logits");
  const Span<float> logits = call.argument(0, "logits").array<float>(count);
  const Span<float> reference = call.argument(1, "reference").array<float>(count);
  std::vector<double> divergence(rows);
  distillation_gradient(logits.data, reference.data, rows, vocabulary, divergence.data(), shared_pool());
  return to_typed_array(call.env(), divergence);
}

}  // namespace

void register_model(Napi::Object exports) {
  export_function(exports, "rmsNorm", bind_rms_norm);
  export_function(exports, "rmsNormBackward", bind_rms_norm_backward);
  export_function(exports, "rmsNormWeightGradient", bind_rms_norm_weight_gradient);
  export_function(exports, "rotary", bind_rotary);
  export_function(exports, "attention", bind_attention);
  export_function(exports, "attentionBackward", bind_attention_backward);
  export_function(exports, "siluMultiply", bind_silu_multiply);
  export_function(exports, "siluMultiplyBackward", bind_silu_multiply_backward);
  export_function(exports, "addInPlace", bind_add_in_place);
  export_function(exports, "rowSquaredNorms", bind_row_squared_norms);
  export_function(exports, "logitStatistics", bind_logit_statistics);
  export_function(exports, "sampledLabelGradient", bind_sampled_label_gradient);
  export_function(exports, "distillationGradient", bind_distillation_gradient);
}

}  // namespace pyramidion
