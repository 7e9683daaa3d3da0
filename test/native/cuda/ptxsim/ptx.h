// PTX as the interpreter holds it: what parser.cc makes of the text and block.cc runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ptxsim {

enum class Kind : uint8_t { none, predicate, bits, natural, integer, real, brain, real_pair, brain_pair };

// b32, s16, f64, bf16x2, ...
struct Type {
  Kind kind = Kind::none;
  unsigned bytes = 0;

  bool is_float() const { return kind >= Kind::real; }
  bool is_pair() const { return kind >= Kind::real_pair; }
  bool is_signed() const { return kind == Kind::integer; }
  // Of one half of a pair.
  Type half() const { return {kind == Kind::real_pair ? Kind::real : Kind::brain, 2}; }
};

enum class Space : uint8_t { generic, global, shared, dynamic_shared, local, parameter };

enum class Opcode : uint8_t {
  mov,
  ld,
  st,
  cvta,
  cvt,
  add,
  sub,
  mul,
  mad,
  fma,
  div,
  rem,
  neg,
  abs,
  min,
  max,
  and_,
  or_,
  xor_,
  not_,
  shl,
  shr,
  setp,
  selp,
  ex2,
  lg2,
  rcp,
  sqrt,
  rsqrt,
  popc,
  clz,
  brev,
  bfind,
  bfe,
  bfi,
  prmt,
  lop3,
  shf,
  dp4a,
  bra,
  ret,
  bar,
  shfl,
  vote,
  match,
  activemask,
  redux,
  atom,
  red,
  fence,
  mma,
  ldmatrix,
  cp,
  trap
};

// The words between an instruction's name and its types that change what it does.
enum class Modifier : uint8_t {
  approx,
  ftz,
  sat,
  hi,
  lo,
  wide,
  to,
  rn,
  rz,
  rm,
  rp,
  rni,
  rzi,
  rmi,
  rpi,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  ls,
  hs,
  equ,
  neu,
  ltu,
  leu,
  gtu,
  geu,
  num,
  nan,
  l,
  r,
  wrap,
  clamp,
  up,
  down,
  bfly,
  idx,
  ballot,
  any,
  all,
  uni,
  exch,
  cas,
  add,
  min,
  max,
  and_,
  or_,
  xor_,
  popc,
  warp,
  sync,
  arrive,
  red,
  trans,
  x1,
  x2,
  x4,
  async,
  commit_group,
  wait_group,
  wait_all
};

struct Operand {
  enum Form : uint8_t { none, register_, immediate, special, memory, vector, symbol };

  Form form = none;
  bool negated = false;
  Space space = Space::generic;
  // Of a register, or of the base of an address; -1 for none.
  int reg = -1;
  // The second destination in "a|b"; -1 for none.
  int second = -1;
  // The value of an immediate, offset of an address, place of a symbol, number of a special register.
  uint64_t value = 0;
  std::vector<Operand> elements;
};

struct Instruction {
  Opcode opcode = Opcode::ret;
  std::string mnemonic = "ret";
  uint64_t modifiers = 0;
  // The last type of the mnemonic, and the one before it.
  Type type, first_type;
  unsigned vector = 1;
  Space space = Space::generic;
  int predicate = -1;
  bool predicate_negated = false;
  std::vector<Operand> operands;
  int target = -1;
  // In the kernel's source.
  int line = 0;
  // What ran: times a warp issued it, lanes in all, sectors or wavefronts it needed and the least that would have done.
  uint64_t issues = 0, lanes = 0, transactions = 0, ideal_transactions = 0;

  bool has(Modifier modifier) const { return modifiers >> static_cast<unsigned>(modifier) & 1; }
};

struct Parameter {
  size_t offset, bytes;
};

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0;
  std::vector<Instruction> code;
  int registers = 0;
  size_t static_shared = 0, local_bytes = 0;
  // Threads a block may have; 0: as many as the device takes.
  unsigned most_threads = 0;
  // Dynamic shared memory a launch may ask for, as cuFuncSetAttribute said.
  size_t allowed_shared = 48 << 10;

  size_t dynamic_offset() const { return (static_shared + 15) / 16 * 16; }
};

struct Module {
  std::map<std::string, Kernel> kernels;
};

struct Extent {
  unsigned x, y, z;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

}  // namespace ptxsim
