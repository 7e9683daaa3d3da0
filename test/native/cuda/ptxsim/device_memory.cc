#include "device_memory.h"

#include <cstdlib>
#include <cstring>
#include <map>

namespace ptxsim {
namespace {

// As cuMemAlloc aligns.
constexpr size_t kAlignment = 512;

std::map<uint64_t, Allocation> allocations;
size_t total_bytes = 0;
// The allocation found last: accesses come in runs.
Allocation* recent = nullptr;

}  // namespace

void Allocation::mark_initialised(size_t offset, size_t count) {
  for (size_t i = 0; i < count; ++i) initialised[offset + i] = true;
}

void* allocate(size_t bytes) {
  void* pointer = nullptr;
  if (posix_memalign(&pointer, kAlignment, bytes + kAlignment) != 0) return nullptr;
  std::memset(pointer, 0xff, bytes + kAlignment);
  Allocation& allocation = allocations[reinterpret_cast<uint64_t>(pointer)];
  allocation.address = reinterpret_cast<uint64_t>(pointer);
  allocation.bytes = bytes;
  allocation.initialised.assign(bytes, false);
  allocation.accesses.resize((bytes + 3) / 4);
  total_bytes += bytes;
  return pointer;
}

bool release(void* pointer) {
  const auto found = allocations.find(reinterpret_cast<uint64_t>(pointer));
  if (found == allocations.end()) return false;
  total_bytes -= found->second.bytes;
  allocations.erase(found);
  recent = nullptr;
  std::free(pointer);
  return true;
}

size_t allocated_bytes() { return total_bytes; }

Allocation* find_allocation(uint64_t address, size_t bytes) {
  const auto holds = [&](const Allocation& one) {
    return address >= one.address && address - one.address <= one.bytes && bytes <= one.bytes - (address - one.address);
  };
  if (recent != nullptr && holds(*recent)) return recent;
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return nullptr;
  Allocation& candidate = (--next)->second;
  return holds(candidate) ? recent = &candidate : nullptr;
}

}  // namespace ptxsim
