// The product of PVQ rows on a GPU: codes, scales, tables, bias, rotation and low-rank factors lie in its memory,
// inputs and outputs are copied on a stream of the call's own. Which kernel multiplies depends on the number of tokens:
//
// - few: pair_gemv, expanded_gemv or decode_gemv, whatever form the codes have, eight tokens a launch;
// - many: rows become halves, which half_gemm multiplies on the tensor cores.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/linear/device_product.h"
#include "core/linear/rotation.h"
#include "core/pvq/pvq_code.h"
#include "cuda/driver/memory.h"
#include "cuda/driver/stream.h"
#include "cuda/launch.h"
#include "cuda/linear/lane.h"
#include "cuda/linear/segment_codes.h"

namespace pyramidion::cuda {

// int8 values with a f16 scale for 16 columns of a row.
struct FactorView {
  const int8_t* values = nullptr;
  const uint16_t* scales = nullptr;
};

// Views of what is uploaded.
struct PvqProductParts {
  size_t rows = 0;
  const PvqLayout* layout = nullptr;
  // rows x layout->row_bytes
  const uint8_t* codes = nullptr;
  // f16, one a row.
  const uint16_t* row_scale = nullptr;
  // Null: the identity.
  const Rotation* rotation = nullptr;
  // One an output, or null.
  const float* bias = nullptr;
  // A is rank x columns, B rows x rank. Rank 0: no correction.
  size_t rank = 0;
  FactorView a, b;
  // Inputs are rounded to int8 behind the rotation, with a scale a token.
  bool int8 = false;
  // Codes lie on the device expanded where that is faster; otherwise only those that no kernel decodes.
  bool expanded = false;
};

class PvqProduct : public DeviceProduct {
 public:
  // Rewrites codes on the pool's threads and uploads. Throws UNSUPPORTED_FORMAT for codes that no kernel knows and rows
  // too long for one, INVALID_ARGUMENT for codes that stand for nothing, DEVICE_UNAVAILABLE, DEVICE_ERROR,
  // OUT_OF_MEMORY.
  PvqProduct(const PvqProductParts& parts, ThreadPool& pool);

  size_t in_features() const override { return columns_; }
  size_t out_features() const override { return rows_; }
  size_t bytes() const override;
  bool int8_inputs() const override { return int8_; }
  void multiply(const float* x, size_t tokens, float* y, bool prepared, ThreadPool& pool) const override;

  // Whether some of its codes are expanded on the device.
  bool expanded() const;
  // What enqueue takes for so many tokens.
  InputFormat input_format(size_t tokens) const;
  // Device memory that it works in.
  size_t scratch_bytes(size_t tokens) const;
  // The product's launches, with everything on the device: x as launch.h wants it, in that format, projected = A x
  // (tokens x rank, null without a correction), y tokens x out_features(). The context must be current.
  void enqueue(Stream& stream, const Activations& x, const float* projected, size_t tokens, float* y,
               const DeviceBuffer& scratch) const;

 private:
  template <class T>
  const T* upload(Stream& stream, const T* data, size_t count);
  void add_inputs(Stream& stream, const PvqProductParts& parts);
  void enqueue_inputs(Lane& lane, size_t tokens, bool prepared) const;
  void enqueue_halves(Stream& stream, const SegmentCodes& segment, const GemvOutputs& outputs,
                      const DeviceBuffer& scratch) const;
  void enqueue_gemv(Stream& stream, const SegmentCodes& segment, const GemvOutputs& outputs, InputFormat format) const;

  const Context& context_;
  size_t rows_, columns_;
  bool int8_;
  std::vector<DeviceBuffer> memory_;
  const uint16_t* row_scale_ = nullptr;
  const float* bias_ = nullptr;
  // What the launches of mix_inputs and rotate_inputs have in common; without a matrix nothing is mixed.
  MixParameters mix_{};
  RotateParameters inputs_{};
  LowRankUp up_{};
  std::vector<std::unique_ptr<SegmentCodes>> segments_;
  // More tokens take the tensor cores.
  size_t gemv_tokens_ = 0;
};

}  // namespace pyramidion::cuda
