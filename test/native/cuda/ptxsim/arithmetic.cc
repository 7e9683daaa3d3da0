#include "arithmetic.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace ptxsim {
namespace {

template <class To, class From>
To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

uint16_t to_brain(float value) {
  if (std::isnan(value)) return 0x7fff;
  const auto bits = bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

double flush(const Instruction& instruction, double value) {
  return instruction.has(Modifier::ftz) && std::fabs(value) < 0x1p-126 ? std::copysign(0.0, value) : value;
}

// In the type's own precision, so that every operation rounds once.
template <class T>
T compute_float(Opcode operation, T x, T y, T z) {
  switch (operation) {
    case Opcode::add:
      return x + y;
    case Opcode::sub:
      return x - y;
    case Opcode::mul:
      return x * y;
    case Opcode::fma:
      return std::fma(x, y, z);
    case Opcode::div:
      return x / y;
    case Opcode::neg:
      return -x;
    case Opcode::abs:
      return std::fabs(x);
    case Opcode::min:
      return std::fmin(x, y);
    case Opcode::max:
      return std::fmax(x, y);
    case Opcode::ex2:
      return std::exp2(x);
    case Opcode::lg2:
      return std::log2(x);
    case Opcode::rcp:
      return 1 / x;
    case Opcode::sqrt:
      return std::sqrt(x);
    case Opcode::rsqrt:
      return 1 / std::sqrt(x);
    default:
      throw std::logic_error("no operation on floats");
  }
}

uint64_t compute_floats(const Instruction& instruction, Type type, Opcode operation, uint64_t a, uint64_t b,
                        uint64_t c) {
  if (type.is_pair()) {
    const Type half = type.half();
    const auto part = [&](unsigned shift) {
      return compute_floats(instruction, half, operation, a >> shift & 0xffff, b >> shift & 0xffff,
                            c >> shift & 0xffff);
    };
    return part(0) | part(16) << 16;
  }
  if (type.bytes == 4) {
    const auto in = [&](uint64_t bits) {
      return static_cast<float>(flush(instruction, bit_cast<float>(static_cast<uint32_t>(bits))));
    };
    const float result = compute_float(operation, in(a), in(b), in(c));
    return bit_cast<uint32_t>(static_cast<float>(flush(instruction, result)));
  }
  return from_double(compute_float(operation, to_double(a, type), to_double(b, type), to_double(c, type)), type);
}

uint64_t multiply(const Instruction& instruction, uint64_t a, uint64_t b, uint64_t c) {
  const Type type = instruction.type;
  const unsigned bits = 8 * type.bytes;
  const __int128 product = type.is_signed()
                               ? static_cast<__int128>(sign_extend(a, type.bytes)) * sign_extend(b, type.bytes)
                               : static_cast<__int128>(static_cast<unsigned __int128>(zero_extend(a, type.bytes)) *
                                                       zero_extend(b, type.bytes));
  if (instruction.has(Modifier::wide)) return zero_extend(static_cast<uint64_t>(product) + c, 2 * type.bytes);
  const __int128 part = instruction.has(Modifier::hi) ? product >> bits : product;
  return zero_extend(static_cast<uint64_t>(part) + c, type.bytes);
}

}  // namespace

double to_double(uint64_t bits, Type type) {
  if (type.bytes == 8) return bit_cast<double>(bits);
  if (type.bytes == 4) return bit_cast<float>(static_cast<uint32_t>(bits));
  if (type.kind == Kind::brain) return bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  return static_cast<double>(bit_cast<_Float16>(static_cast<uint16_t>(bits)));
}

uint64_t from_double(double value, Type type) {
  if (type.bytes == 8) return bit_cast<uint64_t>(value);
  if (type.bytes == 4) return bit_cast<uint32_t>(static_cast<float>(value));
  if (type.kind == Kind::brain) return to_brain(static_cast<float>(value));
  return bit_cast<uint16_t>(static_cast<_Float16>(value));
}

int64_t sign_extend(uint64_t bits, unsigned bytes) {
  const unsigned shift = 64 - 8 * bytes;
  return static_cast<int64_t>(bits << shift) >> shift;
}

uint64_t zero_extend(uint64_t bits, unsigned bytes) {
  return bytes >= 8 ? bits : bits & ((uint64_t{1} << 8 * bytes) - 1);
}

uint64_t compute(const Instruction& instruction, Opcode operation, uint64_t a, uint64_t b, uint64_t c) {
  const Type type = instruction.type;
  if (type.is_float()) return compute_floats(instruction, type, operation, a, b, c);
  const unsigned bytes = type.bytes;
  const int64_t x = sign_extend(a, bytes), y = sign_extend(b, bytes);
  const uint64_t u = zero_extend(a, bytes), v = zero_extend(b, bytes);
  const auto shift = static_cast<uint32_t>(b);
  switch (operation) {
    case Opcode::add:
      return zero_extend(a + b, bytes);
    case Opcode::sub:
      return zero_extend(a - b, bytes);
    case Opcode::mul:
      return multiply(instruction, a, b, 0);
    case Opcode::mad:
      return multiply(instruction, a, b, c);
    case Opcode::neg:
      return zero_extend(0 - a, bytes);
    case Opcode::abs:
      return zero_extend(x < 0 ? 0 - a : a, bytes);
    // The results of a division by zero are a device's own affair; this is what devices give.
    case Opcode::div:
      if (v == 0) return zero_extend(~uint64_t{0}, bytes);
      return zero_extend(type.is_signed() ? static_cast<uint64_t>(y == -1 ? 0 - x : x / y) : u / v, bytes);
    case Opcode::rem:
      if (v == 0) return u;
      return zero_extend(type.is_signed() ? static_cast<uint64_t>(y == -1 ? 0 : x % y) : u % v, bytes);
    case Opcode::min:
      return type.is_signed() ? zero_extend(static_cast<uint64_t>(std::min(x, y)), bytes) : std::min(u, v);
    case Opcode::max:
      return type.is_signed() ? zero_extend(static_cast<uint64_t>(std::max(x, y)), bytes) : std::max(u, v);
    case Opcode::and_:
      return zero_extend(a & b, bytes);
    case Opcode::or_:
      return zero_extend(a | b, bytes);
    case Opcode::xor_:
      return zero_extend(a ^ b, bytes);
    case Opcode::not_:
      return type.kind == Kind::predicate ? !a : zero_extend(~a, bytes);
    case Opcode::shl:
      return shift >= 8 * bytes ? 0 : zero_extend(a << shift, bytes);
    case Opcode::shr:
      if (type.is_signed()) return zero_extend(static_cast<uint64_t>(x >> std::min(shift, 8 * bytes - 1)), bytes);
      return shift >= 8 * bytes ? 0 : u >> shift;
    default:
      throw std::logic_error("no operation on integers: " + instruction.mnemonic);
  }
}

namespace {

double round_to_integer(const Instruction& instruction, double value) {
  if (instruction.has(Modifier::rni)) return std::nearbyint(value);
  if (instruction.has(Modifier::rmi)) return std::floor(value);
  if (instruction.has(Modifier::rpi)) return std::ceil(value);
  return instruction.has(Modifier::rzi) ? std::trunc(value) : value;
}

uint64_t integer_to_float(const Instruction& instruction, uint64_t bits, Type from, Type to) {
  const int64_t integer = sign_extend(bits, from.bytes);
  const uint64_t natural = zero_extend(bits, from.bytes);
  if (to.bytes != 4) {
    return from_double(from.is_signed() ? static_cast<double>(integer) : static_cast<double>(natural), to);
  }
  float value = from.is_signed() ? static_cast<float>(integer) : static_cast<float>(natural);
  if (instruction.has(Modifier::rz)) {
    const long double exact = from.is_signed() ? static_cast<long double>(integer) : static_cast<long double>(natural);
    if (std::fabs(static_cast<long double>(value)) > std::fabs(exact)) value = std::nextafter(value, 0.0f);
  }
  return bit_cast<uint32_t>(value);
}

// Out of range: the nearest there is; not a number: 0.
uint64_t float_to_integer(double value, Type to) {
  if (std::isnan(value)) return 0;
  const int bits = static_cast<int>(8 * to.bytes);
  const double least = to.is_signed() ? -std::ldexp(1.0, bits - 1) : 0;
  // One above the greatest.
  const double limit = std::ldexp(1.0, to.is_signed() ? bits - 1 : bits);
  const uint64_t greatest = (to.is_signed() ? uint64_t{1} << (bits - 1) : bits == 64 ? 0 : uint64_t{1} << bits) - 1;
  if (value >= limit) return greatest;
  if (value <= least) return zero_extend(static_cast<uint64_t>(static_cast<int64_t>(least)), to.bytes);
  return zero_extend(value < 0 ? static_cast<uint64_t>(static_cast<int64_t>(value)) : static_cast<uint64_t>(value),
                     to.bytes);
}

}  // namespace

uint64_t convert(const Instruction& instruction, uint64_t a, uint64_t b) {
  const Type to = instruction.first_type, from = instruction.type;
  if (to.is_pair()) {
    return from_double(to_double(a, from), to.half()) << 16 | from_double(to_double(b, from), to.half());
  }
  if (!from.is_float()) {
    if (to.is_float()) return integer_to_float(instruction, a, from, to);
    return zero_extend(
        from.is_signed() ? static_cast<uint64_t>(sign_extend(a, from.bytes)) : zero_extend(a, from.bytes), to.bytes);
  }
  const double value = round_to_integer(instruction, to_double(a, from));
  return to.is_float() ? from_double(value, to) : float_to_integer(value, to);
}

bool compare(const Instruction& instruction, uint64_t a, uint64_t b) {
  const auto has = [&](Modifier modifier) { return instruction.has(modifier); };
  const Type type = instruction.type;
  // Holds for equal, less and greater values.
  const auto ordered = [&](bool equal, bool less) {
    if (has(Modifier::eq) || has(Modifier::equ)) return equal;
    if (has(Modifier::ne) || has(Modifier::neu)) return !equal;
    if (has(Modifier::lt) || has(Modifier::ltu) || has(Modifier::lo)) return less;
    if (has(Modifier::le) || has(Modifier::leu) || has(Modifier::ls)) return less || equal;
    if (has(Modifier::gt) || has(Modifier::gtu) || has(Modifier::hi)) return !less && !equal;
    return !less;
  };
  if (type.is_float()) {
    const double x = to_double(a, type), y = to_double(b, type);
    const bool unordered = std::isnan(x) || std::isnan(y);
    if (has(Modifier::num)) return !unordered;
    if (has(Modifier::nan)) return unordered;
    if (unordered) {
      return has(Modifier::equ) || has(Modifier::neu) || has(Modifier::ltu) || has(Modifier::leu) ||
             has(Modifier::gtu) || has(Modifier::geu);
    }
    return ordered(x == y, x < y);
  }
  if (type.is_signed()) {
    const int64_t x = sign_extend(a, type.bytes), y = sign_extend(b, type.bytes);
    return ordered(x == y, x < y);
  }
  const uint64_t x = zero_extend(a, type.bytes), y = zero_extend(b, type.bytes);
  return ordered(x == y, x < y);
}

}  // namespace ptxsim
