#include "core/model/key_value_cache.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// The scale; NaN where a value is not finite, for what is made of it to be none either.
float round_to_int8(const FloatKernels& kernels, const float* x, size_t count, int8_t* out) {
  const bool finite = std::isfinite(kernels.f32.dot(x, x, count));
  const float scale = kernels.largest_magnitude(x, count) / 127, inverse = 1 / scale;
  if (!finite || !std::isfinite(inverse)) {
    std::memset(out, 0, count);
    return finite ? 0 : std::numeric_limits<float>::quiet_NaN();
  }
  kernels.narrow_to_int8(x, count, inverse, out);
  return scale;
}

}  // namespace

KeyValueCache::KeyValueCache(KeyValueFormat format, size_t layers, size_t heads, size_t head_dimension)
    : format_(format), heads_(heads), head_dimension_(head_dimension), layers_(layers) {}

size_t KeyValueCache::bytes_per_value() const {
  return format_ == KeyValueFormat::f32 ? 4 : format_ == KeyValueFormat::f16 ? 2 : 1;
}

size_t KeyValueCache::bytes() const {
  const size_t scale = format_ == KeyValueFormat::int8 ? sizeof(float) : 0;
  return layers() * 2 * capacity_ * heads_ * (head_dimension_ * bytes_per_value() + scale);
}

void KeyValueCache::reserve(size_t positions) {
  if (positions <= capacity_) return;
  const size_t capacity = (positions + kKeyValueTile - 1) / kKeyValueTile * kKeyValueTile;
  for (Layer& layer : layers_) {
    layer.keys = grown(layer.keys, capacity);
    layer.values = grown(layer.values, capacity);
  }
  capacity_ = capacity;
}

KeyValueCache::Rows KeyValueCache::grown(const Rows& rows, size_t capacity) const {
  const size_t row_bytes = head_dimension_ * bytes_per_value();
  const size_t scales = format_ == KeyValueFormat::int8 ? heads_ : 0;
  Rows grown{AlignedBuffer<uint8_t>(capacity * heads_ * row_bytes), AlignedBuffer<float>(capacity * scales)};
  if (capacity_ == 0) return grown;
  std::memcpy(grown.values.data(), rows.values.data(), capacity_ * heads_ * row_bytes);
  if (scales > 0) std::memcpy(grown.scales.data(), rows.scales.data(), capacity_ * scales * sizeof(float));
  return grown;
}

void KeyValueCache::store(size_t layer, size_t past, size_t tokens, const float* keys, const float* values) {
  store(layers_[layer].keys, past, tokens, keys);
  store(layers_[layer].values, past, tokens, values);
}

void KeyValueCache::store(Rows& rows, size_t past, size_t tokens, const float* values) {
  const FloatKernels& kernels = float_kernels();
  for (size_t position = past; position < past + tokens; ++position) {
    const size_t in_tile = position % kKeyValueTile;
    for (size_t head = 0; head < heads_; ++head, values += head_dimension_) {
      const size_t row = (position - in_tile) * heads_ + head * kKeyValueTile + in_tile;
      uint8_t* to = rows.values.data() + row * head_dimension_ * bytes_per_value();
      switch (format_) {
        case KeyValueFormat::f32:
          std::memcpy(to, values, head_dimension_ * sizeof(float));
          break;
        case KeyValueFormat::f16:
          kernels.narrow_to_f16(values, head_dimension_, reinterpret_cast<uint16_t*>(to));
          break;
        case KeyValueFormat::int8:
          rows.scales[row] = round_to_int8(kernels, values, head_dimension_, reinterpret_cast<int8_t*>(to));
      }
    }
  }
}

KeyValues KeyValueCache::layer(size_t layer) const {
  const auto& [keys, values] = layers_[layer];
  return {format_,
          keys.values.data(),
          values.values.data(),
          keys.scales.data(),
          values.scales.data(),
          kKeyValueTile * head_dimension_,
          head_dimension_};
}

}  // namespace pyramidion
