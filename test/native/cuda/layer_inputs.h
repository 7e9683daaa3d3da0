// Random inputs of a layer and a random factor B, on the "device" and as the numbers they mean.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "../pvq/random.h"
#include "core/matrix/half.h"
#include "cuda/launch.h"
#include "device_array.h"

// Value: float, uint16_t for f16, int8_t.
template <class Value>
class LayerInputs {
 public:
  LayerInputs(size_t columns, uint32_t tokens, Random& random, Value padding = unusable())
      : columns_(columns),
        stride_(static_cast<uint32_t>((columns + 15) / 16 * 16)),
        host_(make(columns, tokens, stride_, padding, random)),
        host_scale_(make_scales(tokens, random)),
        values_(host_),
        scale_(host_scale_) {}

  pyramidion::cuda::Activations device() {
    return {values_.data(), sizeof(Value) == 4 ? nullptr : scale_.data(), stride_};
  }
  double value(size_t token, size_t column) const {
    const Value stored = host_[token * stride_ + column];
    if constexpr (sizeof(Value) == 4) return stored;
    const double scale = host_scale_[token];
    if constexpr (sizeof(Value) == 2) return scale * pyramidion::half_to_float(stored);
    return scale * stored;
  }

 private:
  // NaN, or a large number.
  static Value unusable() {
    if constexpr (sizeof(Value) == 4) return NAN;
    return sizeof(Value) == 2 ? Value(0x7e00) : Value(127);
  }
  // With sixteen readable values behind the last.
  static std::vector<Value> make(size_t columns, uint32_t tokens, uint32_t stride, Value padding, Random& random) {
    std::vector<Value> values(size_t{tokens} * stride + 16, padding);
    for (uint32_t t = 0; t < tokens; ++t) {
      for (size_t c = 0; c < columns; ++c) {
        Value& value = values[size_t{t} * stride + c];
        if constexpr (sizeof(Value) == 4) value = random.gaussian();
        if constexpr (sizeof(Value) == 2) value = pyramidion::float_to_half(random.gaussian());
        if constexpr (sizeof(Value) == 1) value = static_cast<int8_t>(static_cast<int>(random.below(255)) - 127);
      }
    }
    return values;
  }
  static std::vector<float> make_scales(uint32_t tokens, Random& random) {
    std::vector<float> scales;
    for (uint32_t t = 0; t < tokens; ++t) scales.push_back(static_cast<float>(0.1 + random.uniform()));
    return scales;
  }

  size_t columns_;
  uint32_t stride_;
  std::vector<Value> host_;
  std::vector<float> host_scale_;
  DeviceArray<Value> values_;
  DeviceArray<float> scale_;
};

// B, rows x rank, and t = A x.
class LowRankFactor {
 public:
  LowRankFactor(size_t rows, uint32_t rank, uint32_t tokens, Random& random)
      : rank_(rank),
        host_values_(rows * rank),
        host_scales_(rows * ((rank + 15) / 16)),
        host_projected_(random.gaussians(size_t{tokens} * rank)) {
    for (int8_t& value : host_values_) value = static_cast<int8_t>(static_cast<int>(random.below(255)) - 127);
    for (uint16_t& scale : host_scales_) scale = pyramidion::float_to_half(random.gaussian() / 100);
    values_ = std::make_unique<DeviceArray<int8_t>>(host_values_);
    scales_ = std::make_unique<DeviceArray<uint16_t>>(host_scales_);
    projected_ = std::make_unique<DeviceArray<float>>(host_projected_);
  }

  pyramidion::cuda::LowRankUp device() { return {values_->data(), scales_->data(), projected_->data(), rank_}; }
  double value(size_t row, size_t k) const {
    return static_cast<double>(host_values_[row * rank_ + k]) *
           pyramidion::half_to_float(host_scales_[row * ((rank_ + 15) / 16) + k / 16]);
  }
  double projected(size_t token, size_t k) const { return host_projected_[token * rank_ + k]; }

 private:
  uint32_t rank_;
  std::vector<int8_t> host_values_;
  std::vector<uint16_t> host_scales_;
  std::vector<float> host_projected_;
  std::unique_ptr<DeviceArray<int8_t>> values_;
  std::unique_ptr<DeviceArray<uint16_t>> scales_;
  std::unique_ptr<DeviceArray<float>> projected_;
};
