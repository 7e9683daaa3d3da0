// Binding of transformer blocks as one operation, and of the cache of their keys and values.
#include "core/model/block.h"

#include <optional>

#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "addon/rotation.h"
#include "addon/weights.h"

namespace pyramidion {
namespace {

constexpr napi_type_tag kBlocksTag = {0x43a9c1f6d20e4b87, 0x9be5720f18cd6a34};
constexpr napi_type_tag kCacheTag = {0x7d1ce0b25f9a4368, 0xa84f6931b70e2dc5};

class KeyValueCacheObject : public Napi::ObjectWrap<KeyValueCacheObject> {
 public:
  explicit KeyValueCacheObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      const size_t layers = call.argument(1, "layers").integer(1, 65536),
                   heads = call.argument(2, "heads").integer(1, 65536);
      cache_.emplace(format_of(call.argument(0, "format")), layers, heads,
                     call.argument(3, "headDimension").integer(1, 65536));
    });
    info.This().As<Napi::Object>().TypeTag(&kCacheTag);
  }

  void Finalize(Napi::Env env) override { report_memory(env, 0); }

  static void define(Napi::Object exports) {
    exports["KeyValueCache"] = DefineClass(exports.Env(), "KeyValueCache",
                                           {InstanceMethod<&KeyValueCacheObject::reserve>("reserve"),
                                            InstanceAccessor<&KeyValueCacheObject::bytes>("bytes")});
  }

  static KeyValueCache& from(const Argument& argument) {
    if (!argument.value().IsObject()) argument.reject("a KeyValueCache");
    const auto object = argument.value().As<Napi::Object>();
    if (!object.CheckTypeTag(&kCacheTag)) argument.reject("a KeyValueCache");
    return *Unwrap(object)->cache_;
  }

 private:
  static KeyValueFormat format_of(const Argument& format) {
    const std::string name = format.string();
    if (name == "f32") return KeyValueFormat::f32;
    if (name == "f16") return KeyValueFormat::f16;
    if (name == "int8") return KeyValueFormat::int8;
    format.reject("f32, f16 or int8");
  }

  Napi::Value reserve(const Napi::CallbackInfo& info) {
    Call call(info);
    translate_errors(info.Env(), [&] { cache_->reserve(call.argument(0, "positions").integer(0, kMostRows)); });
    report_memory(info.Env(), cache_->bytes());
    return info.Env().Undefined();
  }

  Napi::Value bytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(cache_->bytes()));
  }

  // To the collector of garbage, which sees an object of a few bytes.
  void report_memory(Napi::Env env, size_t bytes) {
    Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<int64_t>(bytes) - static_cast<int64_t>(reported_));
    reported_ = bytes;
  }

  std::optional<KeyValueCache> cache_;
  size_t reported_ = 0;
};

// The blocks of a model, which are alike; checked once, for a call each token.
class BlocksObject : public Napi::ObjectWrap<BlocksObject> {
 public:
  explicit BlocksObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Call call(info);
    translate_errors(info.Env(), [&] {
      const Argument blocks = call.argument(0, "blocks");
      if (blocks.length() == 0) blocks.reject_length(0, "1 block or more");
      for (size_t i = 0; i < blocks.length(); ++i) add(blocks.element(i));
      // Norms stay where JavaScript has them, and may be changed there.
      retained_ = Napi::Persistent(info[0].As<Napi::Object>());
    });
    info.This().As<Napi::Object>().TypeTag(&kBlocksTag);
  }

  static void define(Napi::Object exports) { exports["Blocks"] = DefineClass(exports.Env(), "Blocks", {}); }

  static const BlocksObject& from(const Argument& argument) {
    if (!argument.value().IsObject()) argument.reject("Blocks");
    const auto object = argument.value().As<Napi::Object>();
    if (!object.CheckTypeTag(&kBlocksTag)) argument.reject("Blocks");
    return *Unwrap(object);
  }

  const std::vector<BlockParts>& all() const { return all_; }
  size_t hidden() const { return hidden_; }
  size_t heads() const { return all_[0].key_value_heads; }
  size_t head_dimension() const { return all_[0].head_dimension; }

 private:
  void add(const Argument& parts) {
    BlockParts block{};
    block.heads = parts["heads"].integer(1, 65536);
    block.key_value_heads = parts["keyValueHeads"].integer(1, block.heads);
    if (block.heads % block.key_value_heads != 0) parts["keyValueHeads"].reject("a divisor of heads");
    block.head_dimension = parts["headDimension"].integer(1, 65536);
    if (block.head_dimension % 2 != 0) parts["headDimension"].reject("an even number");
    block.window = parts["window"].integer(0, kMostRows);
    block.epsilon = static_cast<float>(parts["epsilon"].number(0, 1));

    const size_t hidden = parts["attentionNorm"].array<float>().size;
    const size_t width = block.heads * block.head_dimension;
    const size_t cache_width = block.key_value_heads * block.head_dimension;
    const size_t inner = linear_of(parts["down"])->in_features();
    const auto linear = [&](const char* name, size_t in, size_t out) {
      const Argument argument = parts[name];
      const std::shared_ptr<const Linear> layer = linear_of(argument);
      if (layer->in_features() != in) argument.reject_length(layer->in_features(), std::to_string(in) + " inputs");
      if (layer->out_features() != out) argument.reject_length(layer->out_features(), std::to_string(out) + " outputs");
      return layer;
    };
    block.query = linear("query", hidden, width);
    block.key = linear("key", hidden, cache_width);
    block.value = linear("value", hidden, cache_width);
    block.output = linear("output", width, hidden);
    block.gate = linear("gate", hidden, inner);
    block.up = linear("up", hidden, inner);
    block.down = linear("down", inner, hidden);
    const auto norm = [&](const char* name, size_t size) -> const float* {
      return parts[name].present() ? parts[name].array<float>(size).data : nullptr;
    };
    block.attention_norm = norm("attentionNorm", hidden);
    block.mlp_norm = parts["mlpNorm"].array<float>(hidden).data;
    block.query_norm = norm("queryNorm", block.head_dimension);
    block.key_norm = norm("keyNorm", block.head_dimension);
    if (all_.empty()) hidden_ = hidden;
    all_.push_back(block);
    if (hidden != hidden_ || block.key_value_heads != heads() || block.head_dimension != head_dimension()) {
      parts.reject("of the widths of the first block");
    }
  }

  std::vector<BlockParts> all_;
  size_t hidden_ = 0;
  Napi::ObjectReference retained_;
};

KeyValueCache* cache_for(const Argument& argument, const BlocksObject& blocks, const BlockPass& pass) {
  if (!argument.present()) return nullptr;
  KeyValueCache& cache = KeyValueCacheObject::from(argument);
  if (cache.layers() != blocks.all().size() || cache.heads() != blocks.heads() ||
      cache.head_dimension() != blocks.head_dimension()) {
    argument.reject("made for the layers and heads of the blocks");
  }
  const size_t needed = pass.past + pass.tokens;
  if (cache.capacity() < needed)
    argument.reject_length(cache.capacity(), std::to_string(needed) + " positions or more");
  return &cache;
}

// One call for as many blocks as there are: behind a product's weights the way into native code is out of the caches.
Napi::Value bind_forward_blocks(Call& call) {
  const BlocksObject& blocks = BlocksObject::from(call.argument(0, "blocks"));
  const Argument cache = call.argument(4, "cache"), times_argument = call.argument(8, "times");
  BlockPass pass{};
  pass.tokens = call.argument(2, "tokens").integer(1, kMostRows);
  pass.past = call.argument(3, "past").integer(0, cache.present() ? kMostRows : 0);
  pass.cache = cache_for(cache, blocks, pass);
  const Span<float> x = call.argument(1, "x").array<float>(checked_product(pass.tokens, blocks.hidden(), "x"));
  const size_t angles = checked_product(pass.tokens, blocks.head_dimension() / 2, "cosine");
  pass.cosine = call.argument(5, "cosine").array<float>(angles).data;
  pass.sine = call.argument(6, "sine").array<float>(angles).data;
  const JobControl control = call.job_control(7);
  const Span<double> out = times_argument.present() ? times_argument.array<double>(6) : Span<double>{};
  BlockTimes times;
  for (const BlockParts& parts : blocks.all()) {
    control.check();
    forward_block(parts, pass, x.data, out.data == nullptr ? nullptr : &times, shared_pool());
    ++pass.layer;
  }
  const double spent[] = {times.projections, times.attention, times.norms, times.rotary, times.gating, times.sums};
  for (size_t i = 0; i < out.size; ++i) out.data[i] += spent[i];
  return call.env().Undefined();
}

}  // namespace

void register_block(Napi::Object exports) {
  BlocksObject::define(exports);
  KeyValueCacheObject::define(exports);
  export_function(exports, "forwardBlocks", bind_forward_blocks);
}

}  // namespace pyramidion
