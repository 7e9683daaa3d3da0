#include "emulation/scheduler.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "emulation/fiber.h"
#include "emulation/sanitizer_hooks.h"

#if !defined(__x86_64__)
#error "the emulation switches fibers in x86-64 assembly"
#endif

extern "C" void simt_switch(void** save, void* load);
asm(R"(.text
.globl simt_switch
.type simt_switch,@function
simt_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi); movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret
.size simt_switch,.-simt_switch
)");

namespace simt {

Thread* current;

namespace {

constexpr size_t kStack = 128 * 1024;

std::vector<Fiber> fibers;
std::vector<char*> stacks;
// Fibers of ThreadSanitizer that ended: it would forget their accesses were they destroyed at once.
std::vector<void*> ended;
Fiber* running;
void *scheduler_stack_pointer, *scheduler_thread, *scheduler_fake_stack;
const void* scheduler_bottom;
size_t scheduler_size;
void (*kernel_body)(void*);
void* kernel_argument;
std::map<const void*, void*> static_blocks;
void* dynamic_block;

// Addresses that stand for what orders memory: launch and its end, barriers, __syncwarp. Those of a block are its own,
// so that blocks stay unordered.
struct BlockOrder {
  char barrier, warps[32];
};
char launch_order, end_order;
BlockOrder block_orders[4096];
BlockOrder* order;

void switch_to_scheduler() {
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(running->state == State::done ? nullptr : &running->fake_stack, scheduler_bottom,
                                   scheduler_size);
  }
  if (thread_sanitizer()) __tsan_switch_to_fiber(scheduler_thread, no_synchronization);
  simt_switch(&running->stack_pointer, scheduler_stack_pointer);
  if (__sanitizer_finish_switch_fiber != nullptr) {
    __sanitizer_finish_switch_fiber(running->fake_stack, &scheduler_bottom, &scheduler_size);
  }
}

void fiber_entry() {
  if (__sanitizer_finish_switch_fiber != nullptr) {
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
  }
  acquire(&launch_order);
  kernel_body(kernel_argument);
  if (!running->open.empty() || !running->committed.empty()) {
    fail({"?", 0}, "thread exits with cp.async never waited for");
  }
  release(&end_order);
  running->state = State::done;
  switch_to_scheduler();
  std::abort();
}

void run(Fiber& fiber) {
  running = &fiber;
  current = &fiber.thread;
  fiber.state = State::ready;
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber.stack, kStack);
  }
  if (thread_sanitizer()) __tsan_switch_to_fiber(fiber.thread_sanitizer, no_synchronization);
  simt_switch(&scheduler_stack_pointer, fiber.stack_pointer);
  if (__sanitizer_finish_switch_fiber != nullptr) {
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
  }
}

void collective(unsigned mask, WarpOperation operation, Place place) {
  const unsigned lane = running->thread.linear % 32, base = running->thread.linear - lane;
  if ((mask >> lane & 1) == 0) fail(place, "the calling lane is not in its own mask");
  // Only __syncwarp orders memory; shuffles and votes do not.
  const bool orders = operation == WarpOperation::sync;
  if (orders) release(&order->warps[base / 32]);
  running->state = State::at_warp_operation;
  running->operation = operation;
  running->mask = mask;
  running->place = place;
  bool complete = true;
  for (unsigned i = 0; i < 32 && complete; ++i) {
    if ((mask >> i & 1) == 0) continue;
    if (base + i >= fibers.size()) fail(place, "the mask names a lane past the end of the block");
    const Fiber& other = fibers[base + i];
    complete = other.state == State::at_warp_operation && other.operation == operation && other.mask == mask;
  }
  if (complete) {
    execute(&fibers[base], mask, operation);
    for (unsigned i = 0; i < 32; ++i) {
      if ((mask >> i & 1) != 0) fibers[base + i].state = State::ready;
    }
  } else {
    switch_to_scheduler();
  }
  if (orders) acquire(&order->warps[base / 32]);
}

void place_fiber(Fiber& fiber, unsigned linear, dim3 block, dim3 block_size, dim3 grid, char* stack) {
  fiber.thread = {{linear % block_size.x, linear / block_size.x % block_size.y, linear / block_size.x / block_size.y},
                  {block.x, block.y, block.z},
                  block_size,
                  grid,
                  linear};
  fiber.stack = stack;
  fiber.state = State::ready;
  fiber.thread_sanitizer = thread_sanitizer() ? __tsan_create_fiber(0) : nullptr;
  // What simt_switch pops: six registers and where to go.
  void** top = reinterpret_cast<void**>(stack + kStack - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&fiber_entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fiber.stack_pointer = top;
}

// Nobody can run: all that are left must stand at one barrier.
void open_barrier() {
  const Fiber *first = nullptr, *stuck = nullptr;
  int held = 0;
  for (Fiber& fiber : fibers) {
    if (fiber.state == State::at_warp_operation) stuck = &fiber;
    if (fiber.state != State::at_barrier) continue;
    if (first == nullptr) first = &fiber;
    held += fiber.predicate;
    if (fiber.place.line != first->place.line) {
      current = &fiber.thread;
      fail(fiber.place, "__syncthreads() reached at different places by threads of one block");
    }
  }
  if (stuck != nullptr) fail(stuck->place, "warp operation never reached by every lane of its mask");
  for (const Fiber& fiber : fibers) {
    if (fiber.state == State::done) fail(first->place, "__syncthreads() while other threads of the block have ended");
  }
  for (Fiber& fiber : fibers) {
    fiber.state = State::ready;
    fiber.predicate = held;
  }
}

void run_block(std::vector<unsigned>& turns, unsigned seed, std::mt19937& random) {
  for (bool alive = true; alive;) {
    if (seed > 1) std::shuffle(turns.begin(), turns.end(), random);
    bool progress = false;
    alive = false;
    for (unsigned turn : turns) {
      if (fibers[turn].state == State::ready) {
        run(fibers[turn]);
        progress = true;
      }
      alive |= fibers[turn].state != State::done;
    }
    if (alive && !progress) open_barrier();
  }
}

void end_block() {
  if (thread_sanitizer()) {
    for (Fiber& fiber : fibers) ended.push_back(fiber.thread_sanitizer);
    if (ended.size() > 6000) {
      for (void* fiber : ended) __tsan_destroy_fiber(fiber);
      ended.clear();
    }
    // Fresh stacks a block: what one leaves there is no race with the next.
    for (char* stack : stacks) munmap(stack, kStack);
    stacks.clear();
  }
  for (auto& [key, block] : static_blocks) std::free(block);
  static_blocks.clear();
  std::free(dynamic_block);
  dynamic_block = nullptr;
  fibers.clear();
}

void* shared_block(size_t bytes) {
  void* block = nullptr;
  if (posix_memalign(&block, 16, bytes) != 0) std::abort();
  std::memset(block, 0xff, bytes);
  return block;
}

std::vector<unsigned> in_order_of(unsigned seed, unsigned count) {
  std::vector<unsigned> numbers(count);
  for (unsigned i = 0; i < count; ++i) numbers[i] = seed == 1 ? count - 1 - i : i;
  return numbers;
}

}  // namespace

void fail(Place place, const char* message) {
  std::fprintf(stderr, "SIMT ERROR %s:%d block (%u,%u,%u) thread %u: %s\n", place.file, place.line, current->block.x,
               current->block.y, current->block.z, current->linear, message);
  std::fflush(stderr);
  std::_Exit(86);
}

int barrier(int predicate, Place place) {
  release(&order->barrier);
  running->state = State::at_barrier;
  running->place = place;
  running->predicate = predicate != 0;
  switch_to_scheduler();
  acquire(&order->barrier);
  return running->predicate;
}

uint64_t shuffle(unsigned mask, uint64_t value, ShuffleMode mode, int argument, int width, Place place) {
  running->value = value;
  running->mode = mode;
  running->argument = argument;
  running->width = width;
  collective(mask, WarpOperation::shuffle, place);
  return running->value;
}

unsigned vote(unsigned mask, bool predicate, Place place) {
  running->value = predicate ? 1 : 0;
  collective(mask, WarpOperation::vote, place);
  return static_cast<unsigned>(running->value);
}

void sync_warp(unsigned mask, Place place) { collective(mask, WarpOperation::sync, place); }

void multiply_accumulate(float* d, const uint32_t* a, const uint32_t* b, Place place) {
  running->d = d;
  running->a = a;
  running->b = b;
  collective(~0u, WarpOperation::multiply_accumulate, place);
}

void load_matrix(const uint32_t row[4], uint32_t* out, int matrices, Place place) {
  running->row = row;
  running->out = out;
  running->argument = matrices;
  collective(~0u, WarpOperation::load_matrix, place);
}

void* static_shared(const void* key, size_t bytes) {
  const Unwatched unwatched;
  void*& block = static_blocks[key];
  if (block == nullptr) block = shared_block(bytes);
  return block;
}

void* dynamic_shared() { return dynamic_block; }

void copy_async(void* to, const void* data, size_t bytes) {
  const Unwatched unwatched;
  PendingCopy copy{static_cast<char*>(to), {}, bytes};
  std::memcpy(copy.data, data, bytes);
  running->open.push_back(copy);
}

void commit_copies() {
  const Unwatched unwatched;
  running->committed.push_back(std::move(running->open));
  running->open.clear();
}

void wait_copies(size_t groups_left) {
  const Unwatched unwatched;
  while (running->committed.size() > groups_left) {
    for (const PendingCopy& copy : running->committed.front()) std::memcpy(copy.to, copy.data, copy.bytes);
    running->committed.erase(running->committed.begin());
  }
}

void launch(dim3 grid, dim3 block, size_t dynamic_shared_bytes, void (*body)(void*), void* argument) {
  const unsigned threads = block.x * block.y * block.z, blocks = grid.x * grid.y * grid.z;
  if (threads == 0 || threads > 1024 || blocks == 0 || grid.y > 65535 || grid.z > 65535 || block.z > 64) {
    std::fprintf(stderr, "SIMT ERROR: invalid launch configuration\n");
    std::_Exit(86);
  }
  kernel_body = body;
  kernel_argument = argument;
  const char* seed_text = std::getenv("SIMT_SEED");
  const unsigned seed = seed_text == nullptr ? 0 : static_cast<unsigned>(std::atoi(seed_text));
  std::mt19937 random(seed);
  if (thread_sanitizer()) scheduler_thread = __tsan_get_current_fiber();
  release(&launch_order);
  {
    const Unwatched unwatched;
    std::vector<unsigned> block_turns = in_order_of(seed, blocks), turns = in_order_of(seed, threads);
    if (seed > 1) std::shuffle(block_turns.begin(), block_turns.end(), random);
    for (unsigned number : block_turns) {
      while (stacks.size() < threads) {
        stacks.push_back(static_cast<char*>(
            mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)));
      }
      order = &block_orders[number % 4096];
      if (dynamic_shared_bytes > 0) dynamic_block = shared_block(dynamic_shared_bytes);
      fibers.assign(threads, Fiber());
      const dim3 place(number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y);
      for (unsigned i = 0; i < threads; ++i) place_fiber(fibers[i], i, place, block, grid, stacks[i]);
      run_block(turns, seed, random);
      end_block();
    }
    for (void* fiber : ended) __tsan_destroy_fiber(fiber);
    ended.clear();
  }
  if (thread_sanitizer()) __tsan_acquire(&end_order);
  current = nullptr;
}

}  // namespace simt
