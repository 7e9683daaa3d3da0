// Binding of transformer blocks as one operation.
#include "core/model/block.h"

#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "addon/rotation.h"
#include "addon/weights.h"

namespace pyramidion {
namespace {

constexpr napi_type_tag kBlockTag = {0x43a9c1f6d20e4b87, 0x9be5720f18cd6a34};

class BlockObject : public Napi::ObjectWrap<BlockObject> {
 public:
  explicit BlockObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      build(call.argument(0, "parts"));
      // Norms stay where JavaScript has them, and may be changed there.
      retained_ = Napi::Persistent(info[0].As<Napi::Object>());
    });
    info.This().As<Napi::Object>().TypeTag(&kBlockTag);
  }

  static void define(Napi::Object exports) { exports["Block"] = DefineClass(exports.Env(), "Block", {}); }

  static const BlockObject& from(const Argument& argument) {
    if (!argument.value().IsObject()) argument.reject("a Block");
    const auto object = argument.value().As<Napi::Object>();
    if (!object.CheckTypeTag(&kBlockTag)) argument.reject("a Block");
    return *Unwrap(object);
  }

  const BlockParts& parts() const { return parts_; }
  size_t hidden() const { return hidden_; }
  size_t cache_width() const { return cache_width_; }

 private:
  void build(const Argument& parts) {
    parts_.heads = parts["heads"].integer(1, 65536);
    parts_.key_value_heads = parts["keyValueHeads"].integer(1, parts_.heads);
    if (parts_.heads % parts_.key_value_heads != 0) parts["keyValueHeads"].reject("a divisor of parts.heads");
    parts_.head_dimension = parts["headDimension"].integer(1, 65536);
    if (parts_.head_dimension % 2 != 0) parts["headDimension"].reject("an even number");
    parts_.window = parts["window"].integer(0, kMostRows);
    parts_.epsilon = static_cast<float>(parts["epsilon"].number(0, 1));

    hidden_ = parts["attentionNorm"].array<float>().size;
    const size_t width = parts_.heads * parts_.head_dimension;
    cache_width_ = parts_.key_value_heads * parts_.head_dimension;
    const size_t inner = linear_of(parts["down"])->in_features();
    const auto linear = [&](const char* name, size_t in, size_t out) {
      const Argument argument = parts[name];
      const std::shared_ptr<const Linear> layer = linear_of(argument);
      if (layer->in_features() != in) argument.reject_length(layer->in_features(), std::to_string(in) + " inputs");
      if (layer->out_features() != out) argument.reject_length(layer->out_features(), std::to_string(out) + " outputs");
      return layer;
    };
    parts_.query = linear("query", hidden_, width);
    parts_.key = linear("key", hidden_, cache_width_);
    parts_.value = linear("value", hidden_, cache_width_);
    parts_.output = linear("output", width, hidden_);
    parts_.gate = linear("gate", hidden_, inner);
    parts_.up = linear("up", hidden_, inner);
    parts_.down = linear("down", inner, hidden_);
    const auto norm = [&](const char* name, size_t size) -> const float* {
      return parts[name].present() ? parts[name].array<float>(size).data : nullptr;
    };
    parts_.attention_norm = norm("attentionNorm", hidden_);
    parts_.mlp_norm = parts["mlpNorm"].array<float>(hidden_).data;
    parts_.query_norm = norm("queryNorm", parts_.head_dimension);
    parts_.key_norm = norm("keyNorm", parts_.head_dimension);
  }

  BlockParts parts_;
  size_t hidden_ = 0, cache_width_ = 0;
  Napi::ObjectReference retained_;
};

// One call for as many blocks as there are: behind a product's weights the way into native code is out of the caches.
Napi::Value bind_forward_blocks(Call& call) {
  const Argument blocks = call.argument(0, "blocks"), caches = call.argument(4, "caches");
  const size_t count = blocks.length();
  if (caches.length() != 2 * count) caches.reject_length(caches.length(), "two arrays for each block");
  BlockPass pass{};
  pass.tokens = call.argument(2, "tokens").integer(1, kMostRows);
  pass.past = call.argument(3, "past").integer(0, kMostRows);
  struct Step {
    const BlockObject* block;
    float *keys, *values;
  };
  std::vector<Step> steps;
  float* x = nullptr;
  size_t hidden = 0, head_dimension = 0;
  for (size_t i = 0; i < count; ++i) {
    const BlockObject& block = BlockObject::from(blocks.element(i));
    const size_t held = checked_product(pass.past + pass.tokens, block.cache_width(), "caches");
    // Caches may have room for positions to come.
    const auto cache = [&](size_t index) {
      const Argument argument = caches.element(index);
      const Span<float> span = argument.array<float>();
      if (span.size < held) argument.reject_length(span.size, std::to_string(held) + " values or more");
      return span.data;
    };
    steps.push_back({&block, cache(2 * i), cache(2 * i + 1)});
    // Those of a model are alike.
    if (i > 0 && block.hidden() == hidden && block.parts().head_dimension == head_dimension) continue;
    hidden = block.hidden();
    head_dimension = block.parts().head_dimension;
    x = call.argument(1, "x").array<float>(checked_product(pass.tokens, hidden, "x")).data;
    const size_t angles = checked_product(pass.tokens, head_dimension / 2, "cosine");
    pass.cosine = call.argument(5, "cosine").array<float>(angles).data;
    pass.sine = call.argument(6, "sine").array<float>(angles).data;
  }
  const Argument times_argument = call.argument(7, "times");
  const Span<double> out = times_argument.present() ? times_argument.array<double>(6) : Span<double>{};
  BlockTimes times;
  for (const Step& step : steps) {
    pass.keys = step.keys;
    pass.values = step.values;
    forward_block(step.block->parts(), pass, x, out.data == nullptr ? nullptr : &times, shared_pool());
  }
  const double spent[] = {times.projections, times.attention, times.norms, times.rotary, times.gating, times.sums};
  for (size_t i = 0; i < out.size; ++i) out.data[i] += spent[i];
  return call.env().Undefined();
}

}  // namespace

void register_block(Napi::Object exports) {
  BlockObject::define(exports);
  export_function(exports, "forwardBlocks", bind_forward_blocks);
}

}  // namespace pyramidion
