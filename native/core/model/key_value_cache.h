// The keys and values of the positions a model has seen, in a form that is small to read: they are rounded when they
// come and are read as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/aligned_buffer.h"

namespace pyramidion {

// f16: to the nearest half. int8: a float scale for each head of a position, its largest magnitude at 127.
enum class KeyValueFormat { f32, f16, int8 };

// Keys and values of a layer, of which attention reads tiles of so many positions of a head.
constexpr size_t kKeyValueTile = 128;

// Of position p and head h they begin at value (p - t) * heads * D + h * head_stride + t * row_stride, t = p mod tile,
// and the scale of int8 is number (p - t) * heads + h * tile + t.
struct KeyValues {
  KeyValueFormat format;
  const void *keys, *values;
  const float *key_scales, *value_scales;
  size_t head_stride, row_stride;

  // Floats as layers compute them: positions x heads x D.
  static KeyValues of_floats(const float* keys, const float* values, size_t heads, size_t head_dimension) {
    return {KeyValueFormat::f32, keys, values, nullptr, nullptr, head_dimension, heads * head_dimension};
  }
};

class KeyValueCache {
 public:
  KeyValueCache(KeyValueFormat format, size_t layers, size_t heads, size_t head_dimension);

  size_t layers() const { return layers_.size(); }
  size_t heads() const { return heads_; }
  size_t head_dimension() const { return head_dimension_; }
  // Positions there is room for, and the bytes of that room.
  size_t capacity() const { return capacity_; }
  size_t bytes() const;

  // Makes room for so many positions, or a few more; nothing is forgotten.
  void reserve(size_t positions);
  // Keys and values, tokens x heads x D, of positions past .. past + tokens - 1, within the capacity.
  void store(size_t layer, size_t past, size_t tokens, const float* keys, const float* values);
  // Tiles of positions one behind the other, in each the heads. Valid until the next reserve.
  KeyValues layer(size_t layer) const;

 private:
  struct Rows {
    AlignedBuffer<uint8_t> values{0};
    AlignedBuffer<float> scales{0};
  };
  struct Layer {
    Rows keys, values;
  };

  size_t bytes_per_value() const;
  Rows grown(const Rows& rows, size_t capacity) const;
  void store(Rows& rows, size_t past, size_t tokens, const float* values);

  KeyValueFormat format_;
  size_t heads_, head_dimension_, capacity_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace pyramidion
