// What the sanitizers must be told of fibers. Weak, so that one object of the scheduler, itself without
// instrumentation, serves plain, AddressSanitizer and ThreadSanitizer builds.
#pragma once

#include <cstddef>

extern "C" {
__attribute__((weak)) void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* size);
__attribute__((weak)) void* __tsan_create_fiber(unsigned flags);
__attribute__((weak)) void __tsan_destroy_fiber(void* fiber);
__attribute__((weak)) void __tsan_switch_to_fiber(void* fiber, unsigned flags);
__attribute__((weak)) void* __tsan_get_current_fiber();
__attribute__((weak)) void __tsan_acquire(void* address);
__attribute__((weak)) void __tsan_release(void* address);
__attribute__((weak)) void AnnotateIgnoreWritesBegin(const char* file, int line);
__attribute__((weak)) void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace simt {

// The flag of __tsan_switch_to_fiber that keeps a switch from ordering memory.
constexpr unsigned no_synchronization = 1;

inline bool thread_sanitizer() { return __tsan_create_fiber != nullptr; }
inline void acquire(void* address) {
  if (thread_sanitizer()) __tsan_acquire(address);
}
inline void release(void* address) {
  if (thread_sanitizer()) __tsan_release(address);
}

// The scheduler's own allocations are no accesses of the kernel's.
struct Unwatched {
  Unwatched() {
    if (thread_sanitizer()) AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unwatched() {
    if (thread_sanitizer()) AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  }
};

}  // namespace simt
