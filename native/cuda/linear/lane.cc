#include "cuda/linear/lane.h"

#include <utility>

namespace pyramidion::cuda {

void Transfer::reserve(size_t bytes) {
  if (bytes <= host_.bytes() && bytes <= device_.bytes()) return;
  // The old ones go first, so that both need not fit.
  host_ = PinnedBuffer();
  device_ = DeviceBuffer();
  host_ = PinnedBuffer(context_, bytes);
  device_ = DeviceBuffer(context_, bytes);
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
