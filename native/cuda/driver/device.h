// The devices that the driver shows, and what keeps one from being used.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace pyramidion::cuda {

struct DeviceInfo {
  int index;
  std::string name;
  int compute_major, compute_minor;
  size_t memory_bytes;
  int multiprocessors;
  // Of dynamic shared memory, the most that a block may have.
  size_t shared_bytes;
  // Why its kernels cannot run; empty when they can.
  std::string reason;

  bool usable() const { return reason.empty(); }
};

struct DeviceList {
  std::vector<DeviceInfo> devices;
  // Why there are none; empty when there are.
  std::string reason;
};

// Asks the driver each time. Does not throw.
DeviceList list_devices();

// The first usable device. Throws DEVICE_UNAVAILABLE with the reason where there is none.
DeviceInfo default_device();

}  // namespace pyramidion::cuda
