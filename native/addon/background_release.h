// Frees what takes time to free. JavaScript's collector drops objects on the event loop's thread, where a driver that
// gives memory back may wait for all that the device is doing.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

namespace pyramidion {

class BackgroundRelease {
 public:
  static BackgroundRelease& shared();

  // Runs release on another thread, or at once where no environment is left: the process may be about to end.
  void run(std::function<void()> release);

  // What the last environment to end has begun to release is waited for.
  void environment_begins();
  void environment_ends();

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  size_t environments_ = 0, pending_ = 0;
};

}  // namespace pyramidion
