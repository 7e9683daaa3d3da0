#include "mnemonics.h"

#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

namespace ptxsim {
namespace {

// Words in braces are alternatives, an empty one leaves nothing. What is here has been read up in the PTX manual
// (docs.nvidia.com/cuda/parallel-thread-execution) and is computed by lane_operations.cc, warp_operations.cc or
// block.cc.
const char* const kMnemonics[] = {
    // Moves and memory. Caching hints change no value, nor does volatile: every load is carried out as it comes.
    "mov.{pred,b16,b32,b64,u16,u32,u64,s16,s32,s64,f32,f64}",
    "ld.{global,volatile.global,shared,local,global.nc,global.L1::no_allocate,global.nc.L1::no_allocate,global.nc.L1::"
    "no_allocate.L2::"
    "128B,global.nc.L1::no_allocate.L2::256B}{,.v2,.v4}.{b8,b16,b32,b64,u8,u16,u32,u64,s8,s16,s32,s64,f32,f64}",
    "ld{,.v2,.v4}.{b8,b16,b32,b64,u8,u16,u32,u64,s8,s16,s32,s64,f32,f64}",
    "ld.param{,.v2,.v4}.{b8,b16,b32,b64,u8,u16,u32,u64,s8,s16,s32,s64,f32,f64}",
    "st{,.global,.shared,.local}{,.v2,.v4}.{b8,b16,b32,b64,u8,u16,u32,u64,s8,s16,s32,s64,f32,f64}",
    "cvta{,.to}.{global,shared,local}.u64",
    // Integers.
    "{add,sub}.{u16,s16,u32,s32,u64,s64}",
    "mul.{lo,hi}.{u16,s16,u32,s32,u64,s64}",
    "{mul,mad}.wide.{u16,s16,u32,s32}",
    "mad.{lo,hi}.{u16,s16,u32,s32,u64,s64}",
    "{div,rem,min,max}.{u16,s16,u32,s32,u64,s64}",
    "{neg,abs}.{s16,s32,s64}",
    "{and,or,xor,not}.{pred,b16,b32,b64}",
    "shl.{b16,b32,b64}",
    "shr.{b16,b32,b64,u16,u32,u64,s16,s32,s64}",
    "{popc,clz,brev}.{b32,b64}",
    "bfind.{u32,s32,u64,s64}",
    "bfe.{u32,s32,u64,s64}",
    "bfi.{b32,b64}",
    "prmt.b32",
    "lop3.b32",
    "shf.{l,r}.{wrap,clamp}.b32",
    "dp4a.{u32,s32}.{u32,s32}",
    // Floats. Subnormal numbers are kept, as nvcc does unless told otherwise.
    "{add,sub,mul}{,.rn}.{f32,f64,f16,f16x2,bf16,bf16x2}",
    "fma.rn.{f32,f64,f16,f16x2,bf16,bf16x2}",
    "{neg,abs,min,max}.{f32,f64,f16,f16x2,bf16,bf16x2}",
    "div.rn.{f32,f64}",
    "div.{approx,full}.f32",
    "{rcp,sqrt}.rn.{f32,f64}",
    "{ex2,lg2,rcp,sqrt,rsqrt}.approx.f32",
    "{ex2,rcp,sqrt,rsqrt}.approx.ftz.f32",
    // Conversions: from integers to integers, to floats, and back.
    "cvt.{u8,u16,u32,u64,s8,s16,s32,s64}.{u8,u16,u32,u64,s8,s16,s32,s64}",
    "cvt.rn.{f16,bf16,f32,f64}.{u8,u16,u32,u64,s8,s16,s32,s64}",
    "cvt.rz.f32.{u32,u64,s32,s64}",
    "cvt.{rni,rzi,rmi,rpi}.{u8,u16,u32,u64,s8,s16,s32,s64}.{f16,f32,f64}",
    "cvt.{rni,rzi,rmi,rpi}.{f16,f32,f64}.{f16,f32,f64}",
    "cvt{,.rn}.{f16,bf16,f32,f64}.{f16,bf16,f32,f64}",
    "cvt.rn.{f16x2,bf16x2}.f32",
    // Comparisons.
    "setp.{eq,ne,lt,le,gt,ge,lo,ls,hi,hs}{,.and,.or,.xor}.{b16,b32,b64,u16,u32,u64,s16,s32,s64}",
    "setp.{eq,ne,lt,le,gt,ge,equ,neu,ltu,leu,gtu,geu,num,nan}{,.and,.or,.xor}.{f16,bf16,f32,f64}",
    "selp.{b16,b32,b64,u16,u32,u64,s16,s32,s64,f32,f64}",
    // Control.
    "bra{,.uni}",
    "{ret,exit,trap}",
    "{bar,barrier}.sync",
    "bar.red.popc.u32",
    "bar.red.{and,or}.pred",
    "bar.warp.sync",
    "membar.{cta,gl,sys}",
    "fence.acq_rel.{cta,gpu,sys}",
    // Between the lanes of a warp.
    "shfl.sync.{up,down,bfly,idx}.b32",
    "vote.sync.{ballot.b32,any.pred,all.pred,uni.pred}",
    "match.any.sync.{b32,b64}",
    "activemask.b32",
    "redux.sync.{add,min,max}.{u32,s32}",
    "redux.sync.{and,or,xor}.b32",
    // Atomics.
    "{atom,red}{,.relaxed.gpu}{.global,.shared}.add.{u32,s32,u64,f32,f64}",
    "{atom,red}{,.relaxed.gpu}{.global,.shared}.{min,max}.{u32,s32,u64,s64}",
    "{atom,red}{,.relaxed.gpu}{.global,.shared}.{and,or,xor}.{b32,b64}",
    "atom{,.relaxed.gpu}{.global,.shared}.{exch,cas}.{b32,b64}",
    // Tensor cores and asynchronous copies.
    "mma.sync.aligned.m16n8k16.row.col.f32.{f16.f16,bf16.bf16}.f32",
    "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32",
    "ldmatrix.sync.aligned.m8n8.{x1,x2,x4}{,.trans}.shared.b16",
    "cp.async.{ca,cg}.shared.global{,.L2::64B,.L2::128B,.L2::256B}",
    "cp.async.{commit_group,wait_group,wait_all}",
};

const std::unordered_map<std::string, Opcode> kOpcodes = {
    {"mov", Opcode::mov},           {"ld", Opcode::ld},       {"st", Opcode::st},
    {"cvta", Opcode::cvta},         {"cvt", Opcode::cvt},     {"add", Opcode::add},
    {"sub", Opcode::sub},           {"mul", Opcode::mul},     {"mad", Opcode::mad},
    {"fma", Opcode::fma},           {"div", Opcode::div},     {"rem", Opcode::rem},
    {"neg", Opcode::neg},           {"abs", Opcode::abs},     {"min", Opcode::min},
    {"max", Opcode::max},           {"and", Opcode::and_},    {"or", Opcode::or_},
    {"xor", Opcode::xor_},          {"not", Opcode::not_},    {"shl", Opcode::shl},
    {"shr", Opcode::shr},           {"setp", Opcode::setp},   {"selp", Opcode::selp},
    {"ex2", Opcode::ex2},           {"lg2", Opcode::lg2},     {"rcp", Opcode::rcp},
    {"sqrt", Opcode::sqrt},         {"rsqrt", Opcode::rsqrt}, {"popc", Opcode::popc},
    {"clz", Opcode::clz},           {"brev", Opcode::brev},   {"bfind", Opcode::bfind},
    {"bfe", Opcode::bfe},           {"bfi", Opcode::bfi},     {"prmt", Opcode::prmt},
    {"lop3", Opcode::lop3},         {"shf", Opcode::shf},     {"dp4a", Opcode::dp4a},
    {"bra", Opcode::bra},           {"ret", Opcode::ret},     {"exit", Opcode::ret},
    {"bar", Opcode::bar},           {"barrier", Opcode::bar}, {"shfl", Opcode::shfl},
    {"vote", Opcode::vote},         {"match", Opcode::match}, {"activemask", Opcode::activemask},
    {"redux", Opcode::redux},       {"atom", Opcode::atom},   {"red", Opcode::red},
    {"membar", Opcode::fence},      {"fence", Opcode::fence}, {"mma", Opcode::mma},
    {"ldmatrix", Opcode::ldmatrix}, {"cp", Opcode::cp},       {"trap", Opcode::trap}};

const std::unordered_map<std::string, Modifier> kModifiers = {{"approx", Modifier::approx},
                                                              {"ftz", Modifier::ftz},
                                                              {"sat", Modifier::sat},
                                                              {"hi", Modifier::hi},
                                                              {"lo", Modifier::lo},
                                                              {"wide", Modifier::wide},
                                                              {"to", Modifier::to},
                                                              {"rn", Modifier::rn},
                                                              {"rz", Modifier::rz},
                                                              {"rm", Modifier::rm},
                                                              {"rp", Modifier::rp},
                                                              {"rni", Modifier::rni},
                                                              {"rzi", Modifier::rzi},
                                                              {"rmi", Modifier::rmi},
                                                              {"rpi", Modifier::rpi},
                                                              {"eq", Modifier::eq},
                                                              {"ne", Modifier::ne},
                                                              {"lt", Modifier::lt},
                                                              {"le", Modifier::le},
                                                              {"gt", Modifier::gt},
                                                              {"ge", Modifier::ge},
                                                              {"ls", Modifier::ls},
                                                              {"hs", Modifier::hs},
                                                              {"equ", Modifier::equ},
                                                              {"neu", Modifier::neu},
                                                              {"ltu", Modifier::ltu},
                                                              {"leu", Modifier::leu},
                                                              {"gtu", Modifier::gtu},
                                                              {"geu", Modifier::geu},
                                                              {"num", Modifier::num},
                                                              {"nan", Modifier::nan},
                                                              {"l", Modifier::l},
                                                              {"r", Modifier::r},
                                                              {"wrap", Modifier::wrap},
                                                              {"clamp", Modifier::clamp},
                                                              {"up", Modifier::up},
                                                              {"down", Modifier::down},
                                                              {"bfly", Modifier::bfly},
                                                              {"idx", Modifier::idx},
                                                              {"ballot", Modifier::ballot},
                                                              {"any", Modifier::any},
                                                              {"all", Modifier::all},
                                                              {"uni", Modifier::uni},
                                                              {"exch", Modifier::exch},
                                                              {"cas", Modifier::cas},
                                                              {"add", Modifier::add},
                                                              {"min", Modifier::min},
                                                              {"max", Modifier::max},
                                                              {"and", Modifier::and_},
                                                              {"or", Modifier::or_},
                                                              {"xor", Modifier::xor_},
                                                              {"popc", Modifier::popc},
                                                              {"warp", Modifier::warp},
                                                              {"sync", Modifier::sync},
                                                              {"red", Modifier::red},
                                                              {"trans", Modifier::trans},
                                                              {"x1", Modifier::x1},
                                                              {"x2", Modifier::x2},
                                                              {"x4", Modifier::x4},
                                                              {"commit_group", Modifier::commit_group},
                                                              {"wait_group", Modifier::wait_group},
                                                              {"wait_all", Modifier::wait_all}};

const std::unordered_map<std::string, Space> kSpaces = {
    {"global", Space::global}, {"shared", Space::shared}, {"local", Space::local}, {"param", Space::parameter}};

const std::unordered_map<std::string, Type> kTypes = {
    {"pred", {Kind::predicate, 1}},   {"b8", {Kind::bits, 1}},     {"b16", {Kind::bits, 2}},
    {"b32", {Kind::bits, 4}},         {"b64", {Kind::bits, 8}},    {"u8", {Kind::natural, 1}},
    {"u16", {Kind::natural, 2}},      {"u32", {Kind::natural, 4}}, {"u64", {Kind::natural, 8}},
    {"s8", {Kind::integer, 1}},       {"s16", {Kind::integer, 2}}, {"s32", {Kind::integer, 4}},
    {"s64", {Kind::integer, 8}},      {"f16", {Kind::real, 2}},    {"f32", {Kind::real, 4}},
    {"f64", {Kind::real, 8}},         {"bf16", {Kind::brain, 2}},  {"f16x2", {Kind::real_pair, 4}},
    {"bf16x2", {Kind::brain_pair, 4}}};

// Adds every mnemonic that a pattern stands for, `done` being the part already chosen.
void expand(const std::string& done, const std::string& rest, std::unordered_set<std::string>& into) {
  const size_t open = rest.find('{');
  if (open == std::string::npos) {
    into.insert(done + rest);
    return;
  }
  const size_t close = rest.find('}', open);
  for (size_t start = open + 1; start <= close;) {
    size_t end = rest.find(',', start);
    if (end > close) end = close;
    expand(done + rest.substr(0, open) + rest.substr(start, end - start), rest.substr(close + 1), into);
    start = end + 1;
  }
}

std::unordered_set<std::string> all_mnemonics() {
  std::unordered_set<std::string> all;
  for (const char* pattern : kMnemonics) expand("", pattern, all);
  return all;
}

}  // namespace

Type find_type(const std::string& name) {
  const auto found = kTypes.find(name);
  return found != kTypes.end() ? found->second : Type{};
}

void decode_mnemonic(const std::string& mnemonic, Instruction& instruction) {
  static const std::unordered_set<std::string> known = all_mnemonics();
  if (known.count(mnemonic) == 0) throw std::runtime_error("the interpreter does not know the mnemonic " + mnemonic);
  instruction.mnemonic = mnemonic;
  const size_t name_end = mnemonic.find('.');
  instruction.opcode = kOpcodes.at(mnemonic.substr(0, name_end));
  for (size_t start = name_end; start != std::string::npos && start < mnemonic.size();) {
    const size_t end = mnemonic.find('.', start + 1);
    const std::string word = mnemonic.substr(start + 1, end == std::string::npos ? end : end - start - 1);
    if (const auto type = kTypes.find(word); type != kTypes.end()) {
      instruction.first_type = instruction.type;
      instruction.type = type->second;
    } else if (const auto space = kSpaces.find(word); space != kSpaces.end()) {
      // cp.async names both: its operands say which is which.
      instruction.space = space->second;
    } else if (const auto modifier = kModifiers.find(word); modifier != kModifiers.end()) {
      instruction.modifiers |= uint64_t{1} << static_cast<unsigned>(modifier->second);
    } else if (word == "v2" || word == "v4") {
      instruction.vector = static_cast<unsigned>(word[1] - '0');
    }
    start = end;
  }
}

}  // namespace ptxsim
