// What one call on the device computes with: a stream, and buffers for inputs and outputs on both sides. Lanes are kept
// for the calls to come; as many exist as calls ever ran at once.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "cuda/driver/memory.h"
#include "cuda/driver/stream.h"

namespace pyramidion::cuda {

// The two sides of a transfer, grown when more is asked for.
class Transfer {
 public:
  explicit Transfer(const Context& context) : context_(context) {}

  void reserve(size_t bytes);
  template <class T>
  T* host() const {
    return host_.as<T>();
  }
  const DeviceBuffer& device() const { return device_; }
  template <class T>
  T* device_as() const {
    return reinterpret_cast<T*>(device_.address());
  }

 private:
  const Context& context_;
  PinnedBuffer host_;
  DeviceBuffer device_;
};

struct Lane {
  explicit Lane(const Context& context) : stream(context), inputs(context), projected(context), outputs(context) {}

  Stream stream;
  Transfer inputs, projected, outputs;
};

class LanePool {
 public:
  explicit LanePool(const Context& context) : context_(context) {}

  // Hands the lane back when it goes. The context must be current.
  class Borrowed {
   public:
    explicit Borrowed(LanePool& pool);
    ~Borrowed();
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    Lane* operator->() const { return lane_.get(); }

   private:
    LanePool& pool_;
    std::unique_ptr<Lane> lane_;
  };

  // Of the shared context.
  static LanePool& shared();

 private:
  const Context& context_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Lane>> idle_;
};

}  // namespace pyramidion::cuda
