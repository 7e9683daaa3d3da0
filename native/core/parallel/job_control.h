// The words a long job shares with its caller: a request to stop, and a count of finished rows.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/error.h"

namespace pyramidion {

// Views the Int32Array (over a SharedArrayBuffer) that lib/ hands in; null members mean "nobody is listening".
class JobControl {
 public:
  JobControl() = default;
  explicit JobControl(int32_t* words)
      : cancel_(reinterpret_cast<std::atomic<int32_t>*>(words)),
        done_(reinterpret_cast<std::atomic<int32_t>*>(words + 1)) {}

  bool cancelled() const { return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed) != 0; }
  void request_stop() const {
    if (cancel_ != nullptr) cancel_->store(1, std::memory_order_relaxed);
  }
  // Raises ABORTED when a stop was requested: for use between blocks of work, outside kernels.
  void check() const {
    if (cancelled()) throw Error("ABORTED", "the operation was aborted");
  }
  void advance(int32_t rows) const {
    if (done_ != nullptr) done_->fetch_add(rows, std::memory_order_relaxed);
  }

 private:
  static_assert(sizeof(std::atomic<int32_t>) == sizeof(int32_t), "an atomic word must be a plain word");
  std::atomic<int32_t>* cancel_ = nullptr;
  std::atomic<int32_t>* done_ = nullptr;
};

}  // namespace pyramidion
