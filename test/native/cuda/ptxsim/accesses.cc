// Memory accesses of a block, checked: bounds, alignment, bytes that nobody wrote, and accesses of two threads to a
// word, one of them a write, that no barrier separates. Threads of one block are compared in shared memory, blocks in
// global memory.
#include <algorithm>
#include <cstdio>
#include <set>

#include "block.h"

namespace ptxsim {
namespace {

// Generic addresses of shared and local memory, where no pointer of the host points.
constexpr uint64_t kSharedWindow = uint64_t{1} << 60, kLocalWindow = uint64_t{1} << 61;

uint64_t hazard_count = 0;

}  // namespace

uint64_t hazards() { return hazard_count; }

uint64_t Block::value(unsigned thread, const Operand& operand) const {
  switch (operand.form) {
    case Operand::register_:
      return operand.negated ? !reg(thread, operand.reg) : reg(thread, operand.reg);
    case Operand::immediate:
      return operand.value;
    case Operand::special:
      return special(thread, operand.value);
    case Operand::symbol:
      return operand.space == Space::dynamic_shared ? kernel_.dynamic_offset() : operand.value;
    default:
      throw std::logic_error("an operand without a value");
  }
}

// In the order of the parser's kSpecialRegisters.
uint64_t Block::special(unsigned thread, uint64_t which) const {
  const unsigned lane = thread % 32;
  const Lanes own = Lanes{1} << lane;
  switch (which) {
    case 0:
      return thread % block_.x;
    case 1:
      return thread / block_.x % block_.y;
    case 2:
      return thread / block_.x / block_.y;
    case 3:
      return block_.x;
    case 4:
      return block_.y;
    case 5:
      return block_.z;
    case 6:
      return index_ % grid_.x;
    case 7:
      return index_ / grid_.x % grid_.y;
    case 8:
      return index_ / grid_.x / grid_.y;
    case 9:
      return grid_.x;
    case 10:
      return grid_.y;
    case 11:
      return grid_.z;
    case 12:
      return lane;
    case 13:
      return own - 1;
    case 14:
      return own | (own - 1);
    case 15:
      return own;
    case 16:
      return ~(own - 1);
    case 17:
      return ~(own | (own - 1));
    default:
      return 32;
  }
}

void Block::assign(unsigned thread, const Operand& operand, uint64_t bits) {
  if (operand.form == Operand::register_) reg(thread, operand.reg) = bits;
}

Block::Address Block::address(unsigned thread, const Operand& operand, Space space) const {
  if (operand.space == Space::dynamic_shared) return {Space::shared, kernel_.dynamic_offset() + operand.value};
  uint64_t place = operand.value + (operand.reg >= 0 ? reg(thread, operand.reg) : 0);
  if (operand.space != Space::generic) space = operand.space;
  if (space != Space::generic) return {space, place};
  if (place >= kLocalWindow) return {Space::local, place - kLocalWindow};
  if (place >= kSharedWindow) return {Space::shared, place - kSharedWindow};
  return {Space::global, place};
}

uint64_t generic_base(Space space) {
  return space == Space::shared ? kSharedWindow : space == Space::local ? kLocalWindow : 0;
}

uint8_t* Block::access(unsigned thread, const Instruction& instruction, Address at, unsigned bytes,
                       Direction direction) {
  if (at.place % bytes != 0) {
    fault(kMisalignedAddress, thread, instruction, "an access of " + std::to_string(bytes) + " bytes is not aligned");
  }
  if (at.space == Space::shared) return access_shared(thread, instruction, at.place, bytes, direction);
  if (at.space == Space::global) return access_global(thread, instruction, at.place, bytes, direction);
  if (at.place + bytes > kernel_.local_bytes) fault(kIllegalAddress, thread, instruction, "outside local memory");
  return &local_[thread * kernel_.local_bytes + at.place];
}

uint8_t* Block::access_shared(unsigned thread, const Instruction& instruction, uint64_t at, unsigned bytes,
                              Direction direction) {
  if (at + bytes > shared_.size()) {
    fault(kIllegalAddress, thread, instruction,
          "byte " + std::to_string(at) + " of " + std::to_string(shared_.size()) + " bytes of shared memory");
  }
  const int place = static_cast<int>(&instruction - kernel_.code.data());
  for (unsigned i = 0; i < bytes; ++i) {
    if (direction != Direction::write && !shared_initialised_[at + i]) {
      hazard(thread, instruction, "read of what nobody wrote", "shared", place);
      break;
    }
    if (direction == Direction::write) shared_initialised_[at + i] = true;
  }
  // Warps pass their own barriers between two of the block.
  constexpr uint32_t kWarpEpochs = 4096;
  const uint32_t epoch = block_epoch_ * kWarpEpochs + warp_epochs_[thread / 32] % kWarpEpochs;
  const auto clashes = [&](uint32_t other, uint32_t when) {
    return other != 0 && other != thread + 1 && when / kWarpEpochs == block_epoch_ &&
           ((other - 1) / 32 != thread / 32 || when == epoch);
  };
  const auto is_atomic = [&](int code) {
    return kernel_.code[code].opcode == Opcode::atom || kernel_.code[code].opcode == Opcode::red;
  };
  for (uint64_t word = at / 4; word <= (at + bytes - 1) / 4; ++word) {
    Access& last = shared_accesses_[word];
    if (direction == Direction::read) {
      if (clashes(last.writer, last.write_epoch)) {
        hazard(thread, instruction, "read after write", "shared", last.write_place);
      }
      // A reader of another warp is the one that a later write can clash with: it is kept.
      if (clashes(last.reader, last.read_epoch) && (last.reader - 1) / 32 != thread / 32) continue;
      last.reader = thread + 1;
      last.read_epoch = epoch;
      last.read_place = place;
      continue;
    }
    const bool both_atomic = direction == Direction::atomic && last.write_place >= 0 && is_atomic(last.write_place);
    if (!both_atomic && clashes(last.writer, last.write_epoch)) {
      hazard(thread, instruction, "write after write", "shared", last.write_place);
    }
    if (clashes(last.reader, last.read_epoch))
      hazard(thread, instruction, "write after read", "shared", last.read_place);
    last.writer = thread + 1;
    last.write_epoch = epoch;
    last.write_place = place;
  }
  return &shared_[at];
}

uint8_t* Block::access_global(unsigned thread, const Instruction& instruction, uint64_t at, unsigned bytes,
                              Direction direction) {
  Allocation* allocation = find_allocation(at, bytes);
  if (allocation == nullptr) fault(kIllegalAddress, thread, instruction, "outside every allocation of global memory");
  const size_t offset = at - allocation->address;
  const int place = static_cast<int>(&instruction - kernel_.code.data());
  for (unsigned i = 0; i < bytes && direction != Direction::write; ++i) {
    if (allocation->initialised[offset + i]) continue;
    hazard(thread, instruction, "read of what nobody wrote", "global", place);
    break;
  }
  if (direction != Direction::read) allocation->mark_initialised(offset, bytes);
  const uint32_t own = index_ + 1;
  for (uint64_t word = offset / 4; word <= (offset + bytes - 1) / 4; ++word) {
    Access& last = allocation->accesses[word];
    const uint64_t first = std::max<uint64_t>(offset, word * 4) % 4,
                   end = std::min<uint64_t>(offset + bytes - word * 4, 4);
    const auto touched = static_cast<uint8_t>((1u << end) - (1u << first));
    const bool own_write = last.write_epoch == launch_ && last.writer == own;
    const bool own_read = last.read_epoch == launch_ && last.reader == own;
    const bool written = last.write_epoch == launch_ && !own_write && (last.written & touched) != 0;
    const bool read = last.read_epoch == launch_ && !own_read && (last.read & touched) != 0;
    if (direction == Direction::write) {
      if (written) hazard(thread, instruction, "write after write of another block", "global", last.write_place);
      if (read) hazard(thread, instruction, "write after read of another block", "global", last.read_place);
      last.writer = own;
      last.written = own_write ? last.written | touched : touched;
      last.write_epoch = launch_;
      last.write_place = place;
    } else if (direction == Direction::read) {
      if (written) hazard(thread, instruction, "read after write of another block", "global", last.write_place);
      last.reader = own;
      last.read = own_read ? last.read | touched : touched;
      last.read_epoch = launch_;
      last.read_place = place;
    }
  }
  return reinterpret_cast<uint8_t*>(at);
}

// Global memory is fetched in sectors of 32 bytes. Shared memory serves 32 banks of 4 bytes at a time, to as many lanes
// as need 128 bytes.
void Block::count_transactions(Instruction& instruction, const std::vector<std::pair<unsigned, Address>>& accesses,
                               unsigned bytes) {
  if (accesses.empty()) return;
  if (accesses.front().second.space == Space::global) {
    std::set<uint64_t> sectors, touched;
    for (const auto& [lane, at] : accesses) {
      for (unsigned i = 0; i < bytes; ++i) {
        sectors.insert((at.place + i) / 32);
        touched.insert(at.place + i);
      }
    }
    instruction.transactions += sectors.size();
    instruction.ideal_transactions += (touched.size() + 31) / 32;
  } else if (accesses.front().second.space == Space::shared) {
    const unsigned lanes_at_once = std::min(32u, 128 / std::max(4u, bytes));
    for (unsigned first = 0; first < 32; first += lanes_at_once) {
      std::map<uint64_t, std::set<uint64_t>> words_of_bank;
      for (const auto& [lane, at] : accesses) {
        if (lane < first || lane >= first + lanes_at_once) continue;
        for (unsigned i = 0; i < bytes; i += 4) words_of_bank[(at.place + i) / 4 % 32].insert((at.place + i) / 4);
      }
      size_t most = 0;
      for (const auto& [bank, words] : words_of_bank) most = std::max(most, words.size());
      instruction.transactions += most;
      instruction.ideal_transactions += most > 0;
    }
  }
}

void Block::fault(int code, unsigned thread, const Instruction& instruction, const std::string& what) const {
  throw Fault(code, kernel_.name + ": line " + std::to_string(instruction.line) + ", " + instruction.mnemonic +
                        ", block " + std::to_string(index_) + ", thread " + std::to_string(thread) + ": " + what);
}

void Block::hazard(unsigned thread, const Instruction& instruction, const char* kind, const char* memory,
                   int other_place) {
  static std::set<std::string> reported;
  ++hazard_count;
  const Instruction& other = kernel_.code[other_place];
  const std::string what = kernel_.name + ": " + kind + ", " + memory + " memory: line " +
                           std::to_string(instruction.line) + ", " + instruction.mnemonic + ", against line " +
                           std::to_string(other.line) + ", " + other.mnemonic;
  if (!reported.insert(what).second) return;
  std::fprintf(stderr, "PTXSIM HAZARD %s (block %u, thread %u)\n", what.c_str(), index_, thread);
}

}  // namespace ptxsim
