// One thread block in execution: registers and places of its threads, its shared and local memory, and the accesses
// that no barrier has separated yet. Lanes of a warp that are at the same place run together, the hindmost first.
#pragma once

#include <random>
#include <stdexcept>

#include "device_memory.h"
#include "ptx.h"

namespace ptxsim {

// What stops a kernel: the driver's number and a description.
struct Fault : std::runtime_error {
  Fault(int result, const std::string& what) : std::runtime_error(what), code(result) {}
  int code;
};

constexpr int kIllegalAddress = 700, kMisalignedAddress = 716, kLaunchFailed = 719;

// A thread's place, and the lanes of a warp as a mask.
using Lanes = uint32_t;
constexpr Lanes kAllLanes = ~Lanes{0};

class Block {
 public:
  // launch numbers the kernels that ran; seed 0 runs warps in order.
  Block(Kernel& kernel, Extent grid, Extent block, uint32_t index, size_t shared_bytes, const uint8_t* parameters,
        uint32_t launch, unsigned seed);

  // Throws Fault.
  void run();

 private:
  enum class Waiting : uint8_t { no, for_block, for_warp };
  enum class Direction : uint8_t { read, write, atomic };

  struct AsyncCopy {
    uint64_t destination;
    unsigned bytes;
    uint8_t data[16];
  };

  // block.cc: the order of things.
  bool run_warp(unsigned warp);
  void warp_operation(unsigned warp, Instruction& instruction, int place, Lanes lanes);
  void release_barrier();
  void leave(unsigned thread, const Instruction& instruction, int place);

  // lane_operations.cc and warp_operations.cc: what instructions do, for the lanes whose predicate holds.
  void execute(unsigned warp, Instruction& instruction, Lanes lanes);
  void execute_lane(unsigned thread, const Instruction& instruction);
  void load(unsigned warp, Instruction& instruction, Lanes lanes);
  void store(unsigned warp, Instruction& instruction, Lanes lanes);
  void atomic(unsigned warp, const Instruction& instruction, Lanes lanes);
  void shuffle(unsigned warp, const Instruction& instruction, Lanes lanes);
  void vote(unsigned warp, const Instruction& instruction, Lanes lanes);
  void match(unsigned warp, const Instruction& instruction, Lanes lanes);
  void reduce(unsigned warp, const Instruction& instruction, Lanes lanes);
  void multiply_matrices(unsigned warp, const Instruction& instruction);
  void load_matrices(unsigned warp, Instruction& instruction);
  void copy_async(unsigned warp, Instruction& instruction, Lanes lanes);

  // accesses.cc: memory, checked.
  struct Address {
    Space space;
    uint64_t place;
  };
  Address address(unsigned thread, const Operand& operand, Space space) const;
  uint8_t* access(unsigned thread, const Instruction& instruction, Address at, unsigned bytes, Direction direction);
  uint8_t* access_shared(unsigned thread, const Instruction& instruction, uint64_t at, unsigned bytes,
                         Direction direction);
  uint8_t* access_global(unsigned thread, const Instruction& instruction, uint64_t at, unsigned bytes,
                         Direction direction);
  void count_transactions(Instruction& instruction, const std::vector<std::pair<unsigned, Address>>& accesses,
                          unsigned bytes);
  [[noreturn]] void fault(int code, unsigned thread, const Instruction& instruction, const std::string& what) const;
  void hazard(unsigned thread, const Instruction& instruction, const char* kind, const char* memory, int other_place);

  uint64_t& reg(unsigned thread, int index) { return registers_[static_cast<size_t>(index) * threads_ + thread]; }
  uint64_t reg(unsigned thread, int index) const { return registers_[static_cast<size_t>(index) * threads_ + thread]; }
  uint64_t value(unsigned thread, const Operand& operand) const;
  uint64_t special(unsigned thread, uint64_t which) const;
  void assign(unsigned thread, const Operand& operand, uint64_t bits);

  template <class Action>
  static void each(unsigned warp, Lanes lanes, Action action) {
    for (; lanes != 0; lanes &= lanes - 1) action(warp * 32 + static_cast<unsigned>(__builtin_ctz(lanes)));
  }

  Kernel& kernel_;
  Extent grid_, block_;
  uint32_t index_;
  unsigned threads_;
  const uint8_t* parameters_;
  uint32_t launch_;
  std::mt19937 random_;
  bool shuffled_;

  // Register r of thread t is at r * threads + t.
  std::vector<uint64_t> registers_;
  // -1: the thread has ended.
  std::vector<int> places_;
  std::vector<Waiting> waiting_;
  std::vector<uint8_t> shared_, local_;
  std::vector<bool> shared_initialised_;
  std::vector<Access> shared_accesses_;
  // Barriers passed: by each warp, by the block.
  std::vector<uint32_t> warp_epochs_;
  uint32_t block_epoch_ = 1;
  // Of each thread: copies of the group that is open, and groups that were committed.
  std::vector<std::vector<AsyncCopy>> open_copies_;
  std::vector<std::vector<std::vector<AsyncCopy>>> copy_groups_;
};

// What cvta adds to an address of the space to make it generic.
uint64_t generic_base(Space space);

// Hazards found so far, of all kernels.
uint64_t hazards();

}  // namespace ptxsim
