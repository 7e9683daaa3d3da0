// Instructions that each lane carries out for itself.
#include <cstring>

#include "arithmetic.h"
#include "block.h"

namespace ptxsim {

void Block::execute(unsigned warp, Instruction& instruction, Lanes lanes) {
  ++instruction.issues;
  instruction.lanes += static_cast<unsigned>(__builtin_popcount(lanes));
  switch (instruction.opcode) {
    case Opcode::ld:
      return load(warp, instruction, lanes);
    case Opcode::st:
      return store(warp, instruction, lanes);
    case Opcode::atom:
    case Opcode::red:
      return atomic(warp, instruction, lanes);
    case Opcode::shfl:
      return shuffle(warp, instruction, lanes);
    case Opcode::vote:
      return vote(warp, instruction, lanes);
    case Opcode::match:
      return match(warp, instruction, lanes);
    case Opcode::redux:
      return reduce(warp, instruction, lanes);
    case Opcode::activemask:
      return each(warp, lanes, [&](unsigned t) { assign(t, instruction.operands[0], lanes); });
    case Opcode::mma:
      return multiply_matrices(warp, instruction);
    case Opcode::ldmatrix:
      return load_matrices(warp, instruction);
    case Opcode::cp:
      return copy_async(warp, instruction, lanes);
    // Barriers of the block are the scheduler's; this is one of the warp.
    case Opcode::bar:
      ++warp_epochs_[warp];
      return;
    // Everything is in order here anyway.
    case Opcode::fence:
      return;
    default:
      each(warp, lanes, [&](unsigned t) { execute_lane(t, instruction); });
  }
}

void Block::load(unsigned warp, Instruction& instruction, Lanes lanes) {
  const unsigned bytes = instruction.type.bytes;
  const Operand& to = instruction.operands[0];
  std::vector<std::pair<unsigned, Address>> accesses;
  each(warp, lanes, [&](unsigned thread) {
    const Address at = address(thread, instruction.operands[1], instruction.space);
    const uint8_t* from = at.space == Space::parameter
                              ? parameters_ + at.place
                              : access(thread, instruction, at, bytes * instruction.vector, Direction::read);
    for (unsigned i = 0; i < instruction.vector; ++i) {
      uint64_t bits = 0;
      std::memcpy(&bits, from + i * bytes, bytes);
      if (instruction.type.is_signed()) bits = static_cast<uint64_t>(sign_extend(bits, bytes));
      assign(thread, instruction.vector > 1 ? to.elements[i] : to, bits);
    }
    accesses.emplace_back(thread % 32, at);
  });
  count_transactions(instruction, accesses, bytes * instruction.vector);
}

void Block::store(unsigned warp, Instruction& instruction, Lanes lanes) {
  const unsigned bytes = instruction.type.bytes;
  const Operand& from = instruction.operands[1];
  std::vector<std::pair<unsigned, Address>> accesses;
  each(warp, lanes, [&](unsigned thread) {
    const Address at = address(thread, instruction.operands[0], instruction.space);
    uint8_t* to = access(thread, instruction, at, bytes * instruction.vector, Direction::write);
    for (unsigned i = 0; i < instruction.vector; ++i) {
      const uint64_t bits = value(thread, instruction.vector > 1 ? from.elements[i] : from);
      std::memcpy(to + i * bytes, &bits, bytes);
    }
    accesses.emplace_back(thread % 32, at);
  });
  count_transactions(instruction, accesses, bytes * instruction.vector);
}

namespace {

// Between a register and its parts, the lowest first.
unsigned part_bytes(const Instruction& instruction, size_t parts) {
  return instruction.type.bytes / static_cast<unsigned>(parts);
}

uint64_t reversed(uint64_t bits, unsigned width) {
  uint64_t result = 0;
  for (unsigned i = 0; i < width; ++i) result |= (bits >> i & 1) << (width - 1 - i);
  return result;
}

uint64_t highest_bit(const Instruction& instruction, uint64_t bits) {
  const unsigned bytes = instruction.type.bytes;
  if (instruction.type.is_signed() && sign_extend(bits, bytes) < 0) bits = ~bits;
  bits = zero_extend(bits, bytes);
  return bits == 0 ? 0xffffffff : static_cast<uint64_t>(63 - __builtin_clzll(bits));
}

uint64_t extracted_field(const Instruction& instruction, uint64_t bits, unsigned first, unsigned length) {
  const unsigned width = 8 * instruction.type.bytes;
  if (length == 0) return 0;
  const bool negative =
      instruction.type.is_signed() && (bits >> (first + length - 1 < width ? first + length - 1 : width - 1) & 1) != 0;
  // Bits beyond the top are copies of the sign.
  uint64_t result = first >= width ? 0 : zero_extend(bits, instruction.type.bytes) >> first;
  const unsigned kept = first >= width ? 0 : length < width - first ? length : width - first;
  if (kept < 64) result &= (uint64_t{1} << kept) - 1;
  if (negative && kept < 64) result |= ~uint64_t{0} << kept;
  return zero_extend(result, instruction.type.bytes);
}

uint64_t inserted_field(const Instruction& instruction, uint64_t field, uint64_t into, unsigned first,
                        unsigned length) {
  if (first >= 64) return zero_extend(into, instruction.type.bytes);
  const uint64_t mask = (length >= 64 ? ~uint64_t{0} : (uint64_t{1} << length) - 1) << first;
  return zero_extend((into & ~mask) | (field << first & mask), instruction.type.bytes);
}

uint32_t permuted_bytes(uint64_t bytes, uint32_t selector) {
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const uint32_t choice = selector >> 4 * i & 15;
    uint32_t byte = bytes >> 8 * (choice & 7) & 255;
    if ((choice & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
    result |= byte << 8 * i;
  }
  return result;
}

// Bit i of the table is the result where a, b and c hold bits 2, 1 and 0 of i.
uint32_t looked_up(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t result = 0;
  for (unsigned i = 0; i < 8; ++i) {
    if ((table >> i & 1) != 0) result |= ((i & 4) != 0 ? a : ~a) & ((i & 2) != 0 ? b : ~b) & ((i & 1) != 0 ? c : ~c);
  }
  return result;
}

uint32_t funnel_shift(const Instruction& instruction, uint64_t bits, uint32_t count) {
  count = instruction.has(Modifier::wrap) ? count % 32 : count < 32 ? count : 32;
  return static_cast<uint32_t>(instruction.has(Modifier::l) ? bits << count >> 32 : bits >> count);
}

uint32_t byte_dot(const Instruction& instruction, uint32_t a, uint32_t b, uint32_t c) {
  const auto byte = [](uint32_t bits, unsigned i, Type type) {
    const uint32_t part = bits >> 8 * i & 255;
    return type.is_signed() ? static_cast<int>(static_cast<int8_t>(part)) : static_cast<int>(part);
  };
  for (unsigned i = 0; i < 4; ++i) {
    c += static_cast<uint32_t>(byte(a, i, instruction.first_type) * byte(b, i, instruction.type));
  }
  return c;
}

bool combined(const Instruction& instruction, bool result, bool other) {
  if (instruction.has(Modifier::and_)) return result && other;
  if (instruction.has(Modifier::or_)) return result || other;
  return result != other;
}

}  // namespace

void Block::execute_lane(unsigned thread, const Instruction& instruction) {
  const std::vector<Operand>& operands = instruction.operands;
  const unsigned bytes = instruction.type.bytes;
  const auto in = [&](size_t i) { return i < operands.size() ? value(thread, operands[i]) : 0; };
  const auto in32 = [&](size_t i) { return static_cast<uint32_t>(in(i)); };
  const auto out = [&](uint64_t bits) { assign(thread, operands[0], bits); };
  switch (instruction.opcode) {
    case Opcode::mov:
      if (operands[0].form == Operand::vector) {
        const unsigned part = part_bytes(instruction, operands[0].elements.size());
        const uint64_t bits = in(1);
        for (size_t i = 0; i < operands[0].elements.size(); ++i) {
          assign(thread, operands[0].elements[i], zero_extend(bits >> 8 * part * i, part));
        }
      } else if (operands[1].form == Operand::vector) {
        const unsigned part = part_bytes(instruction, operands[1].elements.size());
        uint64_t bits = 0;
        for (size_t i = 0; i < operands[1].elements.size(); ++i) {
          bits |= zero_extend(value(thread, operands[1].elements[i]), part) << 8 * part * i;
        }
        out(bits);
      } else {
        out(zero_extend(in(1), bytes));
      }
      return;
    case Opcode::cvta: {
      const uint64_t base = generic_base(instruction.space);
      return out(instruction.has(Modifier::to) ? in(1) - base : in(1) + base);
    }
    case Opcode::cvt:
      return out(convert(instruction, in(1), in(2)));
    case Opcode::setp: {
      const bool result = compare(instruction, in(1), in(2));
      const bool combine = operands.size() > 3, other = combine && in(3) != 0;
      out(combine ? combined(instruction, result, other) : result);
      if (operands[0].second >= 0) {
        reg(thread, operands[0].second) = combine ? combined(instruction, !result, other) : !result;
      }
      return;
    }
    case Opcode::selp:
      return out(zero_extend(in(3) != 0 ? in(1) : in(2), bytes));
    case Opcode::popc:
      return out(static_cast<uint64_t>(__builtin_popcountll(zero_extend(in(1), bytes))));
    case Opcode::clz: {
      const uint64_t bits = zero_extend(in(1), bytes);
      return out(bits == 0 ? 8 * bytes : static_cast<uint64_t>(__builtin_clzll(bits)) - (64 - 8 * bytes));
    }
    case Opcode::brev:
      return out(reversed(in(1), 8 * bytes));
    case Opcode::bfind:
      return out(highest_bit(instruction, in(1)));
    case Opcode::bfe:
      return out(extracted_field(instruction, in(1), in32(2) & 255, in32(3) & 255));
    case Opcode::bfi:
      return out(inserted_field(instruction, in(1), in(2), in32(3) & 255, in32(4) & 255));
    case Opcode::prmt:
      return out(permuted_bytes(in32(1) | uint64_t{in32(2)} << 32, in32(3)));
    case Opcode::lop3:
      return out(looked_up(in32(1), in32(2), in32(3), in32(4)));
    case Opcode::shf:
      return out(funnel_shift(instruction, in32(1) | uint64_t{in32(2)} << 32, in32(3)));
    case Opcode::dp4a:
      return out(byte_dot(instruction, in32(1), in32(2), in32(3)));
    case Opcode::trap:
      fault(kLaunchFailed, thread, instruction, "trap");
    default:
      out(compute(instruction, instruction.opcode, in(1), in(2), in(3)));
  }
}

}  // namespace ptxsim
