#include "core/linear/activation_quantizer.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "core/pvq/pvq_matrix.h"
#include "core/pvq/row_encoder.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Tokens a thread takes at a time are about this many values.
constexpr size_t kGrainValues = 16384;

class Int8Activations : public ActivationQuantizer {
 public:
  explicit Int8Activations(size_t width) : ActivationQuantizer(width) {}

  bool integers() const override { return true; }

  void apply(float* x, size_t tokens, ThreadPool& pool) const override {
    const FloatKernels& kernels = float_kernels();
    pool.parallel_for(tokens, std::max<size_t>(1, kGrainValues / width()), [&](size_t first, size_t last) {
      for (size_t token = first; token < last; ++token) {
        float* values = x + token * width();
        const float largest = kernels.largest_magnitude(values, width()), scale = largest / 127;
        if (!std::isfinite(largest)) continue;
        // Below the normal numbers the reciprocal may overflow: such a token is as good as zero.
        const float inverse = scale >= FLT_MIN ? 127 / largest : 0;
        kernels.round_to_multiples(scale, inverse, 127, values, width());
      }
    });
  }
};

class MxintActivations : public ActivationQuantizer {
 public:
  MxintActivations(size_t width, const MxintSettings& settings) : ActivationQuantizer(width), settings_(settings) {}

  void apply(float* x, size_t tokens, ThreadPool& pool) const override {
    const FloatKernels& kernels = float_kernels();
    pool.parallel_for(tokens, std::max<size_t>(1, kGrainValues / width()), [&](size_t first, size_t last) {
      for (size_t token = first; token < last; ++token) {
        for (size_t begin = 0; begin < width(); begin += settings_.block_size) {
          float* values = x + token * width() + begin;
          const size_t count = std::min(settings_.block_size, width() - begin);
          const float largest = kernels.largest_magnitude(values, count);
          if (!std::isfinite(largest)) continue;
          const int exponent = settings_.exponent(largest);
          kernels.round_to_multiples(std::ldexp(1.0f, exponent), std::ldexp(1.0f, -exponent), settings_.largest_code(),
                                     values, count);
        }
      }
    });
  }

 private:
  MxintSettings settings_;
};

class PvqActivations : public ActivationQuantizer {
 public:
  PvqActivations(PvqLayout layout, FindPoints find)
      : ActivationQuantizer(layout.columns), layout_(std::move(layout)), find_(find) {}

  void apply(float* x, size_t tokens, ThreadPool& pool) const override {
    const PvqRows rows = encode_rows(x, tokens, layout_, find_, pool, JobControl());
    const PvqMatrix matrix(tokens, layout_, rows.codes.data(), rows.row_scale.data());
    pool.parallel_for(tokens, std::max<size_t>(1, kGrainValues / width()), [&](size_t first, size_t last) {
      matrix.decode_rows(first, last - first, x + first * width(), width());
    });
  }

 private:
  PvqLayout layout_;
  FindPoints find_;
};

}  // namespace

std::unique_ptr<const ActivationQuantizer> int8_activations(size_t width) {
  return std::make_unique<Int8Activations>(width);
}

std::unique_ptr<const ActivationQuantizer> mxint_activations(size_t width, const MxintSettings& settings) {
  return std::make_unique<MxintActivations>(width, settings);
}

std::unique_ptr<const ActivationQuantizer> pvq_activations(PvqLayout layout, FindPoints find) {
  return std::make_unique<PvqActivations>(std::move(layout), find);
}

}  // namespace pyramidion
