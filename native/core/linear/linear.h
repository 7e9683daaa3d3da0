// A linear layer over an encoded matrix: y = W q + B (A q) + bias, q = V x as the activations' format holds it, decoded
// inside the product and never as a whole. One token, or a few, go through the format's fused dot products; many share
// each decoded tile of rows. PVQ rows with int8 activations are multiplied in integers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/linear/activation_quantizer.h"
#include "core/linear/device_product.h"
#include "core/linear/rotation.h"
#include "core/matrix/encoded_matrix.h"
#include "core/matrix/factor_matrix.h"
#include "core/parallel/thread_pool.h"
#include "core/pvq/pvq_matrix.h"

namespace pyramidion {

struct LinearParts {
  std::unique_ptr<EncodedMatrix> weights;
  // Null: V is the identity.
  std::shared_ptr<const Rotation> rotation;
  // Null: inputs are multiplied as they are.
  std::shared_ptr<const ActivationQuantizer> activations;
  // A is rank x in, B out x rank; both null without a correction.
  std::unique_ptr<const FactorMatrix> a, b;
  // One an output, or empty.
  std::vector<float> bias;
  // What computes the product instead, bias and correction included; null: the processor.
  std::shared_ptr<const DeviceProduct> device;
};

// Gradients of a loss at the row scales of a PVQ matrix and at its levels.
struct ScaleGradients {
  std::vector<double> row_scale, levels;
};

class Linear {
 public:
  explicit Linear(LinearParts parts);

  size_t in_features() const { return parts_.weights->columns(); }
  size_t out_features() const { return parts_.weights->rows(); }
  size_t bytes() const;
  // Of a device's memory.
  size_t device_bytes() const { return parts_.device ? parts_.device->bytes() : 0; }

  // x: tokens x in, y: tokens x out; they must not overlap. prepared: x went through the rotation and the activations'
  // format already. The result does not depend on the number of threads.
  void forward(const float* x, size_t tokens, float* y, bool prepared, ThreadPool& pool) const;

  // Several layers with the same inputs x, y[i] (tokens x out) of each: the same bits, but what rotation and rounding
  // they have in common, and the threads' turns, are shared. x must not overlap any y.
  static void forward_together(const std::vector<const Linear*>& layers, const float* x, size_t tokens,
                               const std::vector<float*>& y, ThreadPool& pool);

  // The gradient of a loss at x (tokens x in), V^T (W + B A)^T g, for that at y (tokens x out), into out or added to
  // it; rotated: the gradient at V x instead. The rounding of activations counts as the identity. They must not
  // overlap. The result does not depend on the number of threads.
  void backward(const float* gradient, size_t tokens, float* out, bool rotated, bool accumulate,
                ThreadPool& pool) const;

  // The weights, when they are PVQ rows; null otherwise.
  PvqMatrix* pvq() const { return dynamic_cast<PvqMatrix*>(parts_.weights.get()); }
  // Of PVQ weights, for inputs x (tokens x in) and the gradient at y (tokens x out). The same for any number of
  // threads.
  ScaleGradients scale_gradients(const float* x, const float* gradient, size_t tokens, ThreadPool& pool) const;

  // Rows of (W + B A) V, count x in; each id is a row.
  void gather_rows(const int32_t* ids, size_t count, float* out, ThreadPool& pool) const;

 private:
  void forward_few(const float* x, size_t tokens, float* y, ThreadPool& pool) const;
  void forward_many(const float* x, size_t tokens, float* y, ThreadPool& pool) const;
  // x went through rotation and rounding. Of layers whose products are all done in integers.
  static void forward_integer(const std::vector<const Linear*>& layers, const float* x, size_t tokens,
                              const std::vector<float*>& y, ThreadPool& pool);
  void multiply_integer(const IntegerTokens& inputs, const float* projected, size_t begin, size_t end, float* y) const;
  void project(const float* x, size_t tokens, float* projected, ThreadPool& pool) const;
  // x (tokens x in) rotated and rounded.
  AlignedBuffer<float> prepared(const float* x, size_t tokens, ThreadPool& pool) const;

  LinearParts parts_;
  // The weights, where products are done in integers: of PVQ rows with int8 activations. Null otherwise.
  const PvqMatrix* integer_;
};

}  // namespace pyramidion
