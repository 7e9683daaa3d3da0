// A layer's product on another device than the processor: what Linear hands prepared inputs to when it has one.
#pragma once

#include <cstddef>

#include "core/parallel/thread_pool.h"

namespace pyramidion {

class DeviceProduct {
 public:
  virtual ~DeviceProduct() = default;

  virtual size_t in_features() const = 0;
  virtual size_t out_features() const = 0;
  // Bytes it occupies on the device.
  virtual size_t bytes() const = 0;
  // Whether it rounds its inputs to int8; otherwise it takes them as they are.
  virtual bool int8_inputs() const = 0;
  // y (tokens x out) = W x + B (A x) + bias for x (tokens x in), rotated first unless it is prepared: behind the
  // rotation and the activations' format already. The pool's threads copy what crosses over. From any thread, several
  // at once. Throws DEVICE_ERROR and OUT_OF_MEMORY.
  virtual void multiply(const float* x, size_t tokens, float* y, bool prepared, ThreadPool& pool) const = 0;
};

}  // namespace pyramidion
