#include "addon/background_release.h"

#include <utility>

#include "addon/job_threads.h"

namespace pyramidion {

BackgroundRelease& BackgroundRelease::shared() {
  static BackgroundRelease& releases = *new BackgroundRelease;
  return releases;
}

void BackgroundRelease::run(std::function<void()> release) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (environments_ > 0) {
      ++pending_;
      JobThreads::shared().submit([this, release = std::move(release)] {
        release();
        std::lock_guard<std::mutex> done(mutex_);
        --pending_;
        released_.notify_all();
      });
      return;
    }
  }
  release();
}

void BackgroundRelease::environment_begins() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++environments_;
}

void BackgroundRelease::environment_ends() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (--environments_ == 0) released_.wait(lock, [this] { return pending_ == 0; });
}

}  // namespace pyramidion
