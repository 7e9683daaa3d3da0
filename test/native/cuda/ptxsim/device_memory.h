// Global memory of the simulated device: every allocation with its bounds, the bytes that were ever written, and who
// touched each word last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ptxsim {

// The last writer and reader of a 4-byte word. Who and when are the memory's own affair: 0 is nobody.
struct Access {
  uint32_t writer = 0, write_epoch = 0, reader = 0, read_epoch = 0;
  // Of global memory, which of the word's bytes they touched: blocks may share a word.
  uint8_t written = 0, read = 0;
  // Instructions of the kernel that ran.
  int write_place = -1, read_place = -1;
};

struct Allocation {
  uint64_t address = 0;
  size_t bytes = 0;
  std::vector<bool> initialised;
  std::vector<Access> accesses;

  void mark_initialised(size_t offset, size_t count);
};

// Null when there is no memory. The contents are 0xff, which is no number in any float type.
void* allocate(size_t bytes);
// False for what was not allocated.
bool release(void* pointer);
// Bytes allocated now.
size_t allocated_bytes();
// The allocation that holds all of [address, address + bytes), or null.
Allocation* find_allocation(uint64_t address, size_t bytes);

}  // namespace ptxsim
