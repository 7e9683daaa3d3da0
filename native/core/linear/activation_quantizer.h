// What a layer's inputs are rounded to at run time: the values that a path of low-bit activations would multiply with,
// each token by itself. Inputs are rounded behind the rotation, for the weights and for the low-rank factor A alike.
#pragma once

#include <cstddef>
#include <memory>

#include "core/matrix/mxint_matrix.h"
#include "core/parallel/thread_pool.h"
#include "core/pvq/point_finder.h"
#include "core/pvq/pvq_code.h"

namespace pyramidion {

class ActivationQuantizer {
 public:
  virtual ~ActivationQuantizer() = default;

  size_t width() const { return width_; }
  // Whether the values are int8 with one scale a token.
  virtual bool integers() const { return false; }
  // In place on tokens x width(). What is not finite stays so, or raises NOT_FINITE. The result does not depend on the
  // number of threads, nor on the instruction set.
  virtual void apply(float* x, size_t tokens, ThreadPool& pool) const = 0;

 protected:
  explicit ActivationQuantizer(size_t width) : width_(width) {}

 private:
  size_t width_;
};

// int8 with one float scale a token: the largest magnitude is 127.
std::unique_ptr<const ActivationQuantizer> int8_activations(size_t width);
// Blocks of a token share an exponent, as encode_mxint_rows codes them (LQER, arXiv 2402.02446).
std::unique_ptr<const ActivationQuantizer> mxint_activations(size_t width, const MxintSettings& settings);
// A token is coded as a PVQ row with an f16 scale (encode_rows). Its width is layout.columns.
std::unique_ptr<const ActivationQuantizer> pvq_activations(PvqLayout layout, FindPoints find);

}  // namespace pyramidion
