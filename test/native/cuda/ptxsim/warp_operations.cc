// Instructions in which the lanes of a warp have to do with each other, atomics, and asynchronous copies.
#include <algorithm>
#include <array>
#include <cstring>

#include "arithmetic.h"
#include "block.h"

namespace ptxsim {
namespace {

// What an atomic or a reduction does with two values.
Opcode combining(const Instruction& instruction) {
  const std::pair<Modifier, Opcode> table[] = {{Modifier::add, Opcode::add}, {Modifier::min, Opcode::min},
                                               {Modifier::max, Opcode::max}, {Modifier::and_, Opcode::and_},
                                               {Modifier::or_, Opcode::or_}, {Modifier::xor_, Opcode::xor_}};
  for (const auto& [modifier, operation] : table) {
    if (instruction.has(modifier)) return operation;
  }
  throw std::logic_error("nothing to combine with: " + instruction.mnemonic);
}

}  // namespace

void Block::atomic(unsigned warp, const Instruction& instruction, Lanes lanes) {
  // atom has a destination in front.
  const size_t first = instruction.opcode == Opcode::atom ? 1 : 0;
  const unsigned bytes = instruction.type.bytes;
  each(warp, lanes, [&](unsigned thread) {
    const Address at = address(thread, instruction.operands[first], instruction.space);
    uint8_t* memory = access(thread, instruction, at, bytes, Direction::atomic);
    const uint64_t operand = value(thread, instruction.operands[first + 1]);
    uint64_t old = 0;
    std::memcpy(&old, memory, bytes);
    uint64_t now;
    if (instruction.has(Modifier::exch)) {
      now = operand;
    } else if (instruction.has(Modifier::cas)) {
      now = old == zero_extend(operand, bytes) ? value(thread, instruction.operands[first + 2]) : old;
    } else {
      now = compute(instruction, combining(instruction), old, operand, 0);
    }
    std::memcpy(memory, &now, bytes);
    if (first == 1) assign(thread, instruction.operands[0], old);
  });
}

// Sources may be beyond the segment that c cuts the warp into: a lane then keeps its own value.
void Block::shuffle(unsigned warp, const Instruction& instruction, Lanes lanes) {
  std::array<uint64_t, 32> results;
  std::array<bool, 32> inside;
  each(warp, lanes, [&](unsigned thread) {
    const int lane = static_cast<int>(thread % 32), b = static_cast<int>(value(thread, instruction.operands[2]));
    const int c = static_cast<int>(value(thread, instruction.operands[3])), clamp = c & 31, segment = c >> 8 & 31;
    const int greatest = (lane & segment) | (clamp & ~segment), least = lane & segment;
    int source = instruction.has(Modifier::up)     ? lane - b
                 : instruction.has(Modifier::down) ? lane + b
                 : instruction.has(Modifier::bfly) ? lane ^ b
                                                   : least | (b & ~segment);
    inside[lane] = instruction.has(Modifier::up) ? source >= greatest : source <= greatest;
    if (!inside[lane]) source = lane;
    if ((value(thread, instruction.operands[4]) >> source & 1) == 0) {
      fault(kLaunchFailed, thread, instruction, "reads a lane outside its mask");
    }
    results[lane] = value(warp * 32 + static_cast<unsigned>(source), instruction.operands[1]);
  });
  each(warp, lanes, [&](unsigned thread) {
    assign(thread, instruction.operands[0], results[thread % 32]);
    if (instruction.operands[0].second >= 0) reg(thread, instruction.operands[0].second) = inside[thread % 32];
  });
}

void Block::vote(unsigned warp, const Instruction& instruction, Lanes lanes) {
  Lanes yes = 0;
  each(warp, lanes, [&](unsigned t) {
    if (value(t, instruction.operands[1]) != 0) yes |= Lanes{1} << t % 32;
  });
  const uint64_t result = instruction.has(Modifier::ballot) ? yes
                          : instruction.has(Modifier::any)  ? yes != 0
                          : instruction.has(Modifier::all)  ? yes == lanes
                                                            : yes == 0 || yes == lanes;
  each(warp, lanes, [&](unsigned t) { assign(t, instruction.operands[0], result); });
}

void Block::match(unsigned warp, const Instruction& instruction, Lanes lanes) {
  const auto of = [&](unsigned t) { return zero_extend(value(t, instruction.operands[1]), instruction.type.bytes); };
  std::array<Lanes, 32> same{};
  each(warp, lanes, [&](unsigned t) {
    each(warp, lanes, [&](unsigned other) { same[t % 32] |= of(t) == of(other) ? Lanes{1} << other % 32 : 0; });
  });
  each(warp, lanes, [&](unsigned t) { assign(t, instruction.operands[0], same[t % 32]); });
}

void Block::reduce(unsigned warp, const Instruction& instruction, Lanes lanes) {
  uint64_t result = value(warp * 32 + static_cast<unsigned>(__builtin_ctz(lanes)), instruction.operands[1]);
  each(warp, lanes & (lanes - 1), [&](unsigned t) {
    result = compute(instruction, combining(instruction), result, value(t, instruction.operands[1]), 0);
  });
  each(warp, lanes, [&](unsigned t) { assign(t, instruction.operands[0], result); });
}

// D = A B + C, A 16 x k, B k x 8: a register holds 4 bytes of a row of A or of a column of B. Lane l has rows l / 4 and
// l / 4 + 8 of A, C and D and column l / 4 of B. Sums are in double, respectively exact, and rounded once.
void Block::multiply_matrices(unsigned warp, const Instruction& instruction) {
  const bool bytes = instruction.mnemonic.find(".s8") != std::string::npos;
  const Type element =
      instruction.mnemonic.find("bf16") != std::string::npos ? Type{Kind::brain, 2} : Type{Kind::real, 2};
  const int depth = bytes ? 32 : 16, in_register = bytes ? 4 : 2, half = depth / 2;
  double a[16][32], b[32][8];
  const auto unpack = [&](uint64_t bits, int i) -> double {
    if (bytes) return static_cast<int8_t>(bits >> 8 * i);
    return to_double(bits >> 16 * i & 0xffff, element);
  };
  const auto& operands = instruction.operands;
  each(warp, kAllLanes, [&](unsigned thread) {
    const int group = static_cast<int>(thread % 32 / 4), column = in_register * static_cast<int>(thread % 4);
    for (int r = 0; r < 4; ++r) {
      const uint64_t bits = value(thread, operands[1].elements[r]);
      for (int i = 0; i < in_register; ++i) a[group + 8 * (r % 2)][column + i + half * (r / 2)] = unpack(bits, i);
    }
    for (int r = 0; r < 2; ++r) {
      const uint64_t bits = value(thread, operands[2].elements[r]);
      for (int i = 0; i < in_register; ++i) b[column + i + half * r][group] = unpack(bits, i);
    }
  });
  each(warp, kAllLanes, [&](unsigned thread) {
    for (int r = 0; r < 4; ++r) {
      const int row = static_cast<int>(thread % 32 / 4) + 8 * (r / 2),
                column = 2 * static_cast<int>(thread % 4) + r % 2;
      const uint64_t start = value(thread, operands[3].elements[r]);
      double sum = bytes ? static_cast<double>(static_cast<int32_t>(start)) : to_double(start, {Kind::real, 4});
      for (int k = 0; k < depth; ++k) sum += a[row][k] * b[k][column];
      assign(thread, operands[0].elements[r],
             bytes ? static_cast<uint32_t>(static_cast<int64_t>(sum)) : from_double(sum, {Kind::real, 4}));
    }
  });
}

// Up to four matrices of 8 x 8 two-byte values; lane 8 m + r has the address of row r of matrix m.
void Block::load_matrices(unsigned warp, Instruction& instruction) {
  const unsigned count = instruction.has(Modifier::x4) ? 4 : instruction.has(Modifier::x2) ? 2 : 1;
  uint16_t matrices[4][8][8];
  for (unsigned m = 0; m < count; ++m) {
    std::vector<std::pair<unsigned, Address>> accesses;
    for (unsigned row = 0; row < 8; ++row) {
      const unsigned thread = warp * 32 + 8 * m + row;
      const Address at = address(thread, instruction.operands[1], Space::shared);
      std::memcpy(matrices[m][row], access(thread, instruction, at, 16, Direction::read), 16);
      accesses.emplace_back(row, at);
    }
    count_transactions(instruction, accesses, 16);
  }
  each(warp, kAllLanes, [&](unsigned thread) {
    const unsigned row = thread % 32 / 4, column = 2 * (thread % 4);
    for (unsigned m = 0; m < count; ++m) {
      const auto at = [&](unsigned i) {
        return instruction.has(Modifier::trans) ? matrices[m][column + i][row] : matrices[m][row][column + i];
      };
      assign(thread, instruction.operands[0].elements[m], at(0) | uint32_t{at(1)} << 16);
    }
  });
}

// The data is taken at once and arrives at the wait; until then the destination holds what no kernel may read.
void Block::copy_async(unsigned warp, Instruction& instruction, Lanes lanes) {
  if (instruction.has(Modifier::commit_group)) {
    return each(warp, lanes, [&](unsigned t) {
      copy_groups_[t].push_back(std::move(open_copies_[t]));
      open_copies_[t].clear();
    });
  }
  if (instruction.has(Modifier::wait_group) || instruction.has(Modifier::wait_all)) {
    return each(warp, lanes, [&](unsigned t) {
      auto& groups = copy_groups_[t];
      if (instruction.has(Modifier::wait_all)) {
        groups.push_back(std::move(open_copies_[t]));
        open_copies_[t].clear();
      }
      const size_t pending = instruction.has(Modifier::wait_all) ? 0 : value(t, instruction.operands[0]);
      for (; groups.size() > pending; groups.erase(groups.begin())) {
        for (const AsyncCopy& copy : groups.front()) {
          std::memcpy(&shared_[copy.destination], copy.data, copy.bytes);
          std::fill_n(shared_initialised_.begin() + static_cast<ptrdiff_t>(copy.destination), copy.bytes, true);
        }
      }
    });
  }
  const auto& operands = instruction.operands;
  const auto bytes = static_cast<unsigned>(operands[2].value);
  std::vector<std::pair<unsigned, Address>> accesses;
  each(warp, lanes, [&](unsigned t) {
    AsyncCopy copy{address(t, operands[0], Space::shared).place, bytes, {}};
    // Bytes beyond the source's size become zeros.
    const size_t source_bytes = operands.size() > 3 ? value(t, operands[3]) : bytes;
    const Address from = address(t, operands[1], Space::global);
    if (source_bytes > 0) {
      std::memcpy(copy.data, access(t, instruction, from, bytes, Direction::read), source_bytes);
      accesses.emplace_back(t % 32, from);
    }
    uint8_t* to = access_shared(t, instruction, copy.destination, bytes, Direction::write);
    std::memset(to, 0xff, bytes);
    std::fill_n(shared_initialised_.begin() + static_cast<ptrdiff_t>(copy.destination), bytes, false);
    open_copies_[t].push_back(copy);
  });
  count_transactions(instruction, accesses, bytes);
}

}  // namespace ptxsim
