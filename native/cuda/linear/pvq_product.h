// The product of PVQ rows on a GPU: codes, scales, tables, bias and the low-rank factor B lie in its memory, inputs and
// outputs are copied on a stream of the call's own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/linear/device_product.h"
#include "core/matrix/factor_matrix.h"
#include "core/pvq/pvq_code.h"
#include "cuda/driver/memory.h"
#include "cuda/driver/stream.h"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// Views of what is uploaded; only `a` is kept.
struct PvqProductParts {
  size_t rows;
  const PvqLayout* layout;
  // rows x layout->row_bytes
  const uint8_t* codes;
  // f16, one a row.
  const uint16_t* row_scale;
  // One an output, or null.
  const float* bias;
  // A is rank x columns; B is rows x rank with a scale for 16 values of a row. Rank 0: no correction.
  std::shared_ptr<const FactorMatrix> a;
  size_t rank;
  const int8_t* b;
  const uint16_t* b_scales;
};

class PvqProduct : public DeviceProduct {
 public:
  // Uploads. Throws UNSUPPORTED_FORMAT for codes that no kernel knows, INVALID_ARGUMENT for codes that stand for
  // nothing, DEVICE_UNAVAILABLE, DEVICE_ERROR, OUT_OF_MEMORY.
  explicit PvqProduct(const PvqProductParts& parts);

  size_t in_features() const override { return columns_; }
  size_t out_features() const override { return rows_; }
  size_t bytes() const override;
  void multiply(const float* x, size_t tokens, float* y) const override;

  // Tokens that one enqueue() takes.
  static constexpr size_t kMostTokens = 8;
  // The product's launches, with everything on the device: x and y as launch.h wants them, projected = A x (tokens x
  // rank, null without a correction), y tokens x out_features(). The context must be current.
  void enqueue(Stream& stream, const Activations& x, const float* projected, size_t tokens, float* y) const;

 private:
  // The address of a copy on the device; the copy lives as long as the product.
  CUdeviceptr upload(Stream& stream, const void* data, size_t bytes);
  void add_segment(Stream& stream, const PvqCode& code, const uint8_t* codes, size_t row_bytes);

  const Context& context_;
  size_t rows_, columns_;
  std::vector<DeviceBuffer> memory_;
  const uint16_t* row_scale_ = nullptr;
  const float* bias_ = nullptr;
  LowRankUp up_{};
  std::shared_ptr<const FactorMatrix> a_;
  std::vector<SegmentWeights> segments_;
};

}  // namespace pyramidion::cuda
