#include "cuda/linear/lane.h"

#include <utility>

namespace pyramidion::cuda {

// Old memory goes first, so that both need not fit.
void Lane::reserve(Transfer& transfer, size_t bytes) {
  if (bytes <= transfer.host.bytes() && bytes <= transfer.device.bytes()) return;
  transfer = Transfer();
  transfer.host = PinnedBuffer(context_, bytes);
  transfer.device = DeviceBuffer(context_, bytes);
}

void Lane::reserve(DeviceBuffer& buffer, size_t bytes) {
  if (bytes <= buffer.bytes()) return;
  buffer = DeviceBuffer();
  buffer = DeviceBuffer(context_, bytes);
  stream.clear(buffer);
}

LanePool& LanePool::shared() {
  static LanePool& pool = *new LanePool(Context::shared());
  return pool;
}

LanePool::Borrowed::Borrowed(LanePool& pool) : pool_(pool) {
  {
    std::lock_guard<std::mutex> lock(pool.mutex_);
    if (!pool.idle_.empty()) {
      lane_ = std::move(pool.idle_.back());
      pool.idle_.pop_back();
    }
  }
  if (!lane_) lane_ = std::make_unique<Lane>(pool.context_);
}

LanePool::Borrowed::~Borrowed() {
  std::lock_guard<std::mutex> lock(pool_.mutex_);
  pool_.idle_.push_back(std::move(lane_));
}

}  // namespace pyramidion::cuda
