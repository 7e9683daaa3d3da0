// A stack and the state that the warp operations of a fiber exchange. Only for the scheduler's own files.
#pragma once

#include <vector>

#include "emulation/scheduler.h"

namespace simt {

enum class State { ready, at_barrier, at_warp_operation, done };
enum class WarpOperation { shuffle, vote, sync, multiply_accumulate, load_matrix };

struct PendingCopy {
  char* to;
  char data[16];
  size_t bytes;
};

struct Fiber {
  Thread thread;
  State state;
  Place place;
  void* stack_pointer;
  char* stack;
  void *thread_sanitizer, *fake_stack;
  // At a barrier: its predicate, then how many threads' held.
  int predicate;
  // At a warp operation.
  WarpOperation operation;
  unsigned mask;
  uint64_t value;
  ShuffleMode mode;
  int argument, width;
  float* d;
  const uint32_t *a, *b, *row;
  uint32_t* out;
  // cp.async.
  std::vector<PendingCopy> open;
  std::vector<std::vector<PendingCopy>> committed;
};

// Every lane of the mask has arrived: gives each its result. lanes: the warp's fibers.
void execute(Fiber* lanes, unsigned mask, WarpOperation operation);

}  // namespace simt
