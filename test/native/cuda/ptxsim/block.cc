#include "block.h"

#include <algorithm>
#include <numeric>

namespace ptxsim {
namespace {

// What registers hold before they are written: unlikely to pass for anything.
constexpr uint64_t kUnwritten = 0xdeadbeefdeadbeef;

}  // namespace

Block::Block(Kernel& kernel, Extent grid, Extent block, uint32_t index, size_t shared_bytes, const uint8_t* parameters,
             uint32_t launch, unsigned seed)
    : kernel_(kernel),
      grid_(grid),
      block_(block),
      index_(index),
      threads_(static_cast<unsigned>(block.count())),
      parameters_(parameters),
      launch_(launch),
      random_(seed * 7919 + index),
      shuffled_(seed > 0),
      registers_(static_cast<size_t>(threads_) * static_cast<size_t>(kernel.registers), kUnwritten),
      places_(threads_, 0),
      waiting_(threads_, Waiting::no),
      shared_(kernel.dynamic_offset() + shared_bytes, 0xff),
      local_(threads_ * kernel.local_bytes, 0xff),
      shared_initialised_(shared_.size(), false),
      shared_accesses_(shared_.size() / 4 + 1),
      warp_epochs_((threads_ + 31) / 32, 1),
      open_copies_(threads_),
      copy_groups_(threads_) {}

void Block::run() {
  std::vector<unsigned> warps((threads_ + 31) / 32);
  std::iota(warps.begin(), warps.end(), 0);
  while (true) {
    if (shuffled_) std::shuffle(warps.begin(), warps.end(), random_);
    bool moved = false;
    for (unsigned warp : warps) moved |= run_warp(warp);
    bool alive = false, all_wait = true;
    for (unsigned t = 0; t < threads_; ++t) {
      if (places_[t] < 0) continue;
      alive = true;
      all_wait &= waiting_[t] == Waiting::for_block;
    }
    if (!alive) return;
    if (all_wait) {
      release_barrier();
    } else if (!moved) {
      throw Fault(kLaunchFailed, kernel_.name + ": nothing can go on");
    }
  }
}

// Threads that ended do not count.
void Block::release_barrier() {
  const unsigned first = static_cast<unsigned>(
      std::find_if(places_.begin(), places_.end(), [](int place) { return place >= 0; }) - places_.begin());
  const Instruction& barrier = kernel_.code[places_[first]];
  const bool reduces = barrier.has(Modifier::red);
  unsigned present = 0, yes = 0;
  for (unsigned t = 0; t < threads_; ++t) {
    if (places_[t] < 0) continue;
    if (places_[t] != places_[first]) {
      fault(kLaunchFailed, t, kernel_.code[places_[t]], "threads wait at different barriers");
    }
    ++present;
    if (reduces && value(t, barrier.operands.back()) != 0) ++yes;
  }
  const uint64_t result = barrier.has(Modifier::popc) ? yes : barrier.has(Modifier::or_) ? yes > 0 : yes == present;
  for (unsigned t = 0; t < threads_; ++t) {
    if (places_[t] < 0) continue;
    if (reduces) assign(t, barrier.operands[0], result);
    waiting_[t] = Waiting::no;
    ++places_[t];
  }
  ++block_epoch_;
}

// Runs until every lane has ended or waits, or for a while where warps are shuffled. Whether anything moved.
bool Block::run_warp(unsigned warp) {
  const unsigned begin = warp * 32, end = std::min(threads_, begin + 32);
  unsigned budget = shuffled_ ? 1 + random_() % 40 : ~0u;
  bool moved = false;
  for (; budget > 0; --budget) {
    int place = -1;
    for (unsigned t = begin; t < end; ++t) {
      if (places_[t] >= 0 && waiting_[t] == Waiting::no && (place < 0 || places_[t] < place)) place = places_[t];
    }
    if (place < 0) {
      for (unsigned t = begin; t < end; ++t) {
        if (waiting_[t] != Waiting::for_warp) continue;
        fault(kLaunchFailed, t, kernel_.code[places_[t]], "not reached by every lane of its mask");
      }
      return moved;
    }
    moved = true;
    Instruction& instruction = kernel_.code[place];
    Lanes lanes = 0;
    for (unsigned t = begin; t < end; ++t) {
      if (places_[t] != place || waiting_[t] == Waiting::for_block) continue;
      if (instruction.predicate >= 0 && ((reg(t, instruction.predicate) & 1) != 0) == instruction.predicate_negated) {
        ++places_[t];
      } else {
        lanes |= Lanes{1} << (t - begin);
      }
    }
    if (lanes == 0) continue;
    const auto set_places = [&](int to) { each(warp, lanes, [&](unsigned t) { places_[t] = to; }); };
    switch (instruction.opcode) {
      case Opcode::bra:
        ++instruction.issues;
        instruction.lanes += static_cast<unsigned>(__builtin_popcount(lanes));
        set_places(instruction.target);
        break;
      case Opcode::ret:
        each(warp, lanes, [&](unsigned t) { leave(t, instruction, place); });
        break;
      case Opcode::bar:
        if (!instruction.has(Modifier::warp)) {
          ++instruction.issues;
          each(warp, lanes, [&](unsigned t) { waiting_[t] = Waiting::for_block; });
          break;
        }
        [[fallthrough]];
      case Opcode::shfl:
      case Opcode::vote:
      case Opcode::match:
      case Opcode::redux:
      case Opcode::mma:
      case Opcode::ldmatrix:
        warp_operation(warp, instruction, place, lanes);
        break;
      default:
        execute(warp, instruction, lanes);
        set_places(place + 1);
    }
  }
  return true;
}

// Goes ahead for the lanes whose whole mask has arrived; the others wait.
void Block::warp_operation(unsigned warp, Instruction& instruction, int place, Lanes lanes) {
  const size_t mask_operand = instruction.opcode == Opcode::shfl ? 4 : instruction.opcode == Opcode::bar ? 0 : 2;
  const bool whole = instruction.opcode == Opcode::mma || instruction.opcode == Opcode::ldmatrix;
  Lanes ready = 0;
  each(warp, lanes, [&](unsigned t) {
    const Lanes own = Lanes{1} << t % 32;
    const Lanes mask = whole ? kAllLanes : static_cast<Lanes>(value(t, instruction.operands[mask_operand]));
    if ((mask & own) == 0) fault(kLaunchFailed, t, instruction, "a lane is not in its own mask");
    if ((mask & lanes) == mask) {
      ready |= own;
      return;
    }
    each(warp, mask, [&](unsigned other) {
      if (other >= threads_ || places_[other] < 0)
        fault(kLaunchFailed, t, instruction, "its mask names a lane that has ended");
    });
  });
  each(warp, lanes, [&](unsigned t) { waiting_[t] = (ready >> t % 32 & 1) != 0 ? Waiting::no : Waiting::for_warp; });
  if (ready == 0) return;
  execute(warp, instruction, ready);
  each(warp, ready, [&](unsigned t) { places_[t] = place + 1; });
}

void Block::leave(unsigned thread, const Instruction& instruction, int place) {
  places_[thread] = -1;
  if (open_copies_[thread].empty() && copy_groups_[thread].empty()) return;
  hazard(thread, instruction, "end before an asynchronous copy was waited for", "shared", place);
}

}  // namespace ptxsim
