// What one call on the device computes with: a stream, and buffers for inputs and outputs on both sides. Lanes are kept
// for the calls to come; as many exist as calls ever ran at once.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "cuda/driver/memory.h"
#include "cuda/driver/stream.h"

namespace pyramidion::cuda {

// Memory that is copied to or from the device, with its pinned side; grown when more is asked for.
struct Transfer {
  PinnedBuffer host;
  DeviceBuffer device;
};

class Lane {
 public:
  explicit Lane(const Context& context) : stream(context), context_(context) {}

  // What each holds is lost.
  void reserve(Transfer& transfer, size_t bytes);
  // Zeroed when it grows.
  void reserve(DeviceBuffer& buffer, size_t bytes);

  Stream stream;
  Transfer inputs, outputs;
  // Inputs behind M, as the product takes them, with the tokens' scales, and A x.
  DeviceBuffer mixed, prepared, token_scale, projected;
  // What the product works in.
  DeviceBuffer scratch;

 private:
  const Context& context_;
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
    Lane& operator*() const { return *lane_; }

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
