// Copies from global to shared memory that threads do not wait for (PTX ISA 9.7.9.25), in groups that end in the order
// in which they began. What a thread copied is there for it once it waited, for others behind a barrier after that.
#pragma once

#include "cuda/kernels/target.cuh"

#if !defined(__CUDACC__)
#include <cstring>
#include <deque>
#include <vector>
#endif

namespace pyramidion::cuda {

#if defined(__CUDACC__)

class AsyncCopies {
 public:
  // Sixteen bytes, of which those behind the first `bytes` become zeros. Both addresses on 16 bytes.
  __device__ __forceinline__ void copy(void* to, const void* from, uint32_t bytes) {
    const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
  }
  // Ends a group.
  __device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
  // Until at most the last Pending groups are on their way.
  template <int Pending>
  __device__ __forceinline__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
  }
};

#else

// Here they arrive as late as they may.
class AsyncCopies {
 public:
  void copy(void* to, const void* from, uint32_t bytes) {
    if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
      simt::fail({__FILE__, __LINE__}, "cp.async is not on 16 bytes");
    }
    Copy copy{to, {}};
    std::memcpy(copy.data, from, bytes);
    open_.push_back(copy);
  }
  void commit() {
    groups_.push_back(std::move(open_));
    open_.clear();
  }
  template <int Pending>
  void wait() {
    for (; groups_.size() > Pending; groups_.pop_front()) {
      for (const Copy& copy : groups_.front()) std::memcpy(copy.to, copy.data, sizeof(copy.data));
    }
  }

 private:
  struct Copy {
    void* to;
    unsigned char data[16];
  };
  std::vector<Copy> open_;
  std::deque<std::vector<Copy> > groups_;
};

#endif

}  // namespace pyramidion::cuda
