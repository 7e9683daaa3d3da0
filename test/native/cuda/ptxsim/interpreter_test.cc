// The interpreter itself: what instructions compute, on operands written down with what the PTX manual says they give,
// and that each kind of mistake in a kernel is reported.
#include "interpreter.h"

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <stdexcept>

#include "device_memory.h"

using namespace ptxsim;

namespace {

constexpr int kHazard = 719;

std::string module_of(const std::string& body, const std::string& declarations = "") {
  return ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry test(.param .u64 test_param_0)\n{\n"
         ".reg .pred %p<8>;\n.reg .b16 %h<9>;\n.reg .b32 %r<16>;\n.reg .b64 %d<16>;\n" +
         declarations + "ld.param.u64 %d0, [test_param_0];\ncvta.to.global.u64 %d1, %d0;\nmov.u32 %r0, %tid.x;\n" +
         "mul.wide.u32 %d2, %r0, 8;\nadd.s64 %d2, %d1, %d2;\n" + body + "ret;\n}\n";
}

// Runs a kernel body with 8 bytes of global memory a thread at %d2 (%d1 for thread 0); %r0 is the thread. What launch()
// gave.
int run(const std::string& body, unsigned threads, std::vector<uint64_t>& values, const std::string& declarations = "",
        unsigned blocks = 1) {
  const auto module = std::unique_ptr<Module>(load_module(module_of(body, declarations)));
  void* memory = allocate(8 * values.size());
  const auto address = reinterpret_cast<uint64_t>(memory);
  std::memcpy(memory, values.data(), 8 * values.size());
  find_allocation(address, 8)->mark_initialised(0, 8 * values.size());
  const int result = launch(module->kernels.at("test"), {blocks, 1, 1}, {threads, 1, 1}, 0, &address);
  std::memcpy(values.data(), memory, 8 * values.size());
  release(memory);
  return result;
}

int run(const std::string& body, unsigned threads = 32, const std::string& declarations = "", unsigned blocks = 1) {
  std::vector<uint64_t> values(threads, 1);
  return run(body, threads, values, declarations, blocks);
}

struct Example {
  // %d5 (%r5, %h5, %p5) = instruction on %d6, %d7, %d8 and their shorter namesakes.
  const char* instruction;
  uint64_t a, b, c, expected;
};

// Loads the operands into registers of every width, runs the instruction, and stores the widest.
uint64_t evaluate(const Example& example) {
  const std::string text = example.instruction;
  const auto is_wide = [&](const char* name) { return text.find(name) != std::string::npos; };
  std::string body;
  const uint64_t operands[] = {example.a, example.b, example.c};
  for (int i = 0; i < 3; ++i) {
    const std::string n = std::to_string(6 + i);
    body += "mov.b64 %d" + n + ", " + std::to_string(operands[i]) + ";\ncvt.u32.u64 %r" + n + ", %d" + n +
            ";\ncvt.u16.u64 %h" + n + ", %d" + n + ";\nsetp.ne.s64 %p" + std::to_string(i + 1) + ", %d" + n + ", 0;\n";
  }
  body += text + ";\n";
  if (is_wide("%r5")) body += "cvt.u64.u32 %d5, %r5;\n";
  if (is_wide("%h5")) body += "cvt.u64.u16 %d5, %h5;\n";
  if (is_wide("%p5")) body += "selp.b64 %d5, 1, 0, %p5;\n";
  body += "st.global.u64 [%d2], %d5;\n";
  std::vector<uint64_t> values(1, 0);
  REQUIRE(run(body, 1, values) == 0);
  return values[0];
}

constexpr uint64_t kMinus1 = 0xffffffff, kOne = 0x3f800000, kTwo = 0x40000000, kThree = 0x40400000, kNan = 0x7fc00000;

}  // namespace

TEST_CASE("instructions of one lane compute what the manual says") {
  const Example examples[] = {
      {"add.s32 %r5, %r6, %r7", kMinus1, 3, 0, 2},
      {"sub.s32 %r5, %r6, %r7", 1, 3, 0, 0xfffffffe},
      {"mul.lo.s32 %r5, %r6, %r7", kMinus1, 7, 0, 0xfffffff9},
      {"mul.hi.u32 %r5, %r6, %r7", kMinus1, 16, 0, 15},
      {"mul.hi.s32 %r5, %r6, %r7", kMinus1, 16, 0, kMinus1},
      {"mul.hi.u64 %d5, %d6, %d7", uint64_t{1} << 63, 6, 0, 3},
      {"mul.wide.s32 %d5, %r6, %r7", kMinus1, 2, 0, ~uint64_t{1}},
      {"mad.wide.u32 %d5, %r6, %r7, %d8", kMinus1, 2, 5, 0x200000003},
      {"mad.lo.s32 %r5, %r6, %r7, %r8", 5, 6, kMinus1, 29},
      {"div.s32 %r5, %r6, %r7", static_cast<uint32_t>(-7), 2, 0, static_cast<uint32_t>(-3)},
      {"rem.s32 %r5, %r6, %r7", static_cast<uint32_t>(-7), 2, 0, kMinus1},
      {"div.u64 %d5, %d6, %d7", ~uint64_t{0}, 10, 0, 1844674407370955161},
      {"min.s32 %r5, %r6, %r7", kMinus1, 1, 0, kMinus1},
      {"max.u32 %r5, %r6, %r7", kMinus1, 1, 0, kMinus1},
      {"neg.s32 %r5, %r6", 5, 0, 0, static_cast<uint32_t>(-5)},
      {"abs.s32 %r5, %r6", static_cast<uint32_t>(-5), 0, 0, 5},
      {"xor.b32 %r5, %r6, %r7", 12, 10, 0, 6},
      {"not.b64 %d5, %d6", 0, 0, 0, ~uint64_t{0}},
      {"and.pred %p5, %p1, %p2", 1, 0, 0, 0},
      {"not.pred %p5, %p1", 0, 0, 0, 1},
      {"shl.b32 %r5, %r6, %r7", 1, 32, 0, 0},
      {"shr.s32 %r5, %r6, %r7", 0x80000000, 40, 0, kMinus1},
      {"shr.u32 %r5, %r6, %r7", 0x80000000, 31, 0, 1},
      {"popc.b32 %r5, %r6", 0xff00ff, 0, 0, 16},
      {"clz.b32 %r5, %r6", 0xffff, 0, 0, 16},
      {"clz.b32 %r5, %r6", 0, 0, 0, 32},
      {"brev.b32 %r5, %r6", 1, 0, 0, 0x80000000},
      {"bfind.u32 %r5, %r6", 0x1000, 0, 0, 12},
      {"bfind.u32 %r5, %r6", 0, 0, 0, kMinus1},
      {"bfe.u32 %r5, %r6, 4, 8", 0xabcdef, 0, 0, 0xde},
      {"bfe.s32 %r5, %r6, 4, 8", 0xabcdef, 0, 0, 0xffffffde},
      {"bfi.b32 %r5, %r6, %r7, 8, 8", 0x12, 0xffffffff, 0, 0xffff12ff},
      {"prmt.b32 %r5, %r6, %r7, 0x5410", 0x33221100, 0x77665544, 0, 0x55441100},
      {"prmt.b32 %r5, %r6, %r7, 0xfb73", 0x80221100, 0x77665544, 0, 0x00ff7780},
      {"lop3.b32 %r5, %r6, %r7, %r8, 0xe8", 0xf0, 0xcc, 0xaa, 0xe8},
      {"shf.l.wrap.b32 %r5, %r6, %r7, 36", 0x80000000, 1, 0, 0x18},
      {"shf.r.clamp.b32 %r5, %r6, %r7, 36", 5, 7, 0, 7},
      {"dp4a.s32.s32 %r5, %r6, %r7, %r8", 0xff020304, 0x01010101, 10, 18},
      {"dp4a.u32.s32 %r5, %r6, %r7, %r8", 0xff000000, 0xff000000, 0, static_cast<uint32_t>(-255)},
      {"selp.b32 %r5, %r6, %r7, %p3", 4, 5, 0, 5},
      {"setp.lt.s32 %p5, %r6, %r7", kMinus1, 0, 0, 1},
      {"setp.lo.u32 %p5, %r6, %r7", kMinus1, 0, 0, 0},
      {"setp.ge.and.u32 %p5, %r6, %r7, %p3", 5, 5, 0, 0},
      {"setp.lt.f32 %p5, %r6, %r7", kOne, kNan, 0, 0},
      {"setp.ltu.f32 %p5, %r6, %r7", kOne, kNan, 0, 1},
      {"setp.neu.f32 %p5, %r6, %r7", kOne, kOne, 0, 0},
      {"setp.nan.f32 %p5, %r6, %r7", kOne, kNan, 0, 1},
      {"add.rn.f32 %r5, %r6, %r7", kOne, kTwo, 0, kThree},
      {"mul.f32 %r5, %r6, %r7", kThree, kTwo, 0, 0x40c00000},
      {"fma.rn.f32 %r5, %r6, %r7, %r8", 0x3f800001, 0x3f800001, 0xbf800002, 0x28800000},
      {"div.rn.f32 %r5, %r6, %r7", kOne, kThree, 0, 0x3eaaaaab},
      {"max.f32 %r5, %r6, %r7", kOne, kNan, 0, kOne},
      {"neg.f32 %r5, %r6", kOne, 0, 0, 0xbf800000},
      {"sqrt.rn.f32 %r5, %r6", 0x40800000, 0, 0, kTwo},
      {"rsqrt.approx.f32 %r5, %r6", 0x40800000, 0, 0, 0x3f000000},
      {"rcp.approx.ftz.f32 %r5, %r6", 1, 0, 0, 0x7f800000},
      {"ex2.approx.f32 %r5, %r6", kThree, 0, 0, 0x41000000},
      {"lg2.approx.f32 %r5, %r6", 0x41000000, 0, 0, kThree},
      {"add.f16x2 %r5, %r6, %r7", 0x3c004000, 0x3c003c00, 0, 0x40004200},
      {"fma.rn.bf16x2 %r5, %r6, %r7, %r8", 0x3f804000, 0x40004000, 0x3f803f80, 0x404040a0},
      {"cvt.u64.u32 %d5, %r6", kMinus1, 0, 0, kMinus1},
      {"cvt.s64.s32 %d5, %r6", kMinus1, 0, 0, ~uint64_t{0}},
      {"cvt.u8.u32 %h5, %r6", 0x1234, 0, 0, 0x34},
      {"cvt.s16.s8 %h5, %h6", 0xff, 0, 0, 0xffff},
      {"cvt.rn.f32.s32 %r5, %r6", static_cast<uint32_t>(-16777217), 0, 0, 0xcb800000},
      {"cvt.rz.f32.u32 %r5, %r6", 0xffffffff, 0, 0, 0x4f7fffff},
      {"cvt.rni.s32.f32 %r5, %r6", 0x40200000, 0, 0, 2},
      {"cvt.rzi.s32.f32 %r5, %r6", 0xc0200000, 0, 0, static_cast<uint32_t>(-2)},
      {"cvt.rzi.u32.f32 %r5, %r6", 0xc0200000, 0, 0, 0},
      {"cvt.rzi.s32.f32 %r5, %r6", 0x7f800000, 0, 0, 0x7fffffff},
      {"cvt.rni.f32.f32 %r5, %r6", 0x40200000, 0, 0, kTwo},
      {"cvt.rn.f16.f32 %h5, %r6", 0x3f802000, 0, 0, 0x3c01},
      {"cvt.f32.f16 %r5, %h6", 0x0001, 0, 0, 0x33800000},
      {"cvt.rn.f16x2.f32 %r5, %r6, %r7", kOne, kTwo, 0, 0x3c004000},
      {"mov.b64 %d5, {%r6, %r7}", 1, 2, 0, 0x200000001},
      {"mov.b32 {%h5, %h4}, %r6", 0x12345678, 0, 0, 0x5678},
  };
  for (const Example& example : examples) {
    CAPTURE(std::string(example.instruction));
    CHECK(evaluate(example) == example.expected);
  }
}

TEST_CASE("a mnemonic that is not on the list is refused as a whole") {
  for (const char* instruction :
       {"add.cc.u32 %r5, %r6, %r7;\n", "ld.relaxed.gpu.global.u64 %d5, [%d2];\n", "frob.b32 %r5;\n",
        "mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 %r5;\n", "add.sat.s32 %r5, %r6, %r7;\n"}) {
    CAPTURE(std::string(instruction));
    CHECK_THROWS_AS(run(instruction), std::runtime_error);
  }
}

TEST_CASE("lanes exchange values, vote and reduce") {
  std::vector<uint64_t> values(32, 0);
  CHECK(run("shfl.sync.bfly.b32 %r5, %r0, 1, 31, -1;\ncvt.u64.u32 %d5, %r5;\nst.global.u64 [%d2], %d5;\n", 32,
            values) == 0);
  for (size_t i = 0; i < 32; ++i) CHECK(values[i] == (i ^ 1));
  CHECK(run("shfl.sync.down.b32 %r5|%p1, %r0, 4, 31, -1;\nselp.u32 %r6, 100, 0, %p1;\nadd.s32 %r5, %r5, %r6;\n"
            "cvt.u64.u32 %d5, %r5;\nst.global.u64 [%d2], %d5;\n",
            32, values) == 0);
  for (size_t i = 0; i < 32; ++i) CHECK(values[i] == (i < 28 ? i + 104 : i));
  CHECK(run("setp.lt.u32 %p1, %r0, 5;\nvote.sync.ballot.b32 %r5, %p1, -1;\nredux.sync.add.s32 %r6, %r0, -1;\n"
            "mov.b64 %d5, {%r5, %r6};\nst.global.u64 [%d2], %d5;\n",
            32, values) == 0);
  for (size_t i = 0; i < 32; ++i) CHECK(values[i] == (uint64_t{496} << 32 | 31));
}

TEST_CASE("int8 matrices are multiplied as m16n8k32 lays them out") {
  // All of A is 1 but row 0, which is 2; B is 1 but column 3, which is -1; C is 7.
  const std::string body =
      "shr.u32 %r1, %r0, 2;\nsetp.eq.s32 %p1, %r1, 0;\nselp.b32 %r2, 0x02020202, 0x01010101, %p1;\nmov.b32 %r3, "
      "0x01010101;\n"
      "setp.eq.s32 %p2, %r1, 3;\nselp.b32 %r4, -1, 0x01010101, %p2;\nmov.b32 %r5, 7;\n"
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%r6, %r7, %r8, %r9}, {%r2, %r3, %r2, %r3}, {%r4, %r4}, "
      "{%r5, %r5, %r5, %r5};\nmov.b64 %d5, {%r6, %r7};\nst.global.u64 [%d2], %d5;\n";
  std::vector<uint64_t> values(32, 0);
  REQUIRE(run(body, 32, values) == 0);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 2; ++i) {
      const int column = 2 * (lane % 4) + i, expected = 7 + (lane / 4 == 0 ? 2 : 1) * (column == 3 ? -32 : 32);
      CHECK(static_cast<int32_t>(values[lane] >> 32 * i) == expected);
    }
  }
}

TEST_CASE("mistakes in kernels are reported") {
  const std::string shared = ".shared .align 16 .b8 buffer[512];\n";
  const std::string own_place = "mov.u32 %r1, buffer;\nmad.lo.s32 %r1, %r0, 4, %r1;\n";
  const std::string neighbour =
      "add.s32 %r2, %r0, 1;\nand.b32 %r2, %r2, 31;\nmov.u32 %r3, buffer;\nmad.lo.s32 %r3, %r2, 4, %r3;\n";

  SUBCASE("a right one runs") {
    CHECK(run(own_place + neighbour + "st.shared.u32 [%r1], %r0;\nbar.sync 0;\nld.shared.u32 %r4, [%r3];\n", 32,
              shared) == 0);
  }
  SUBCASE("a missing barrier") {
    CHECK(run(own_place + neighbour + "st.shared.u32 [%r1], %r0;\nld.shared.u32 %r4, [%r3];\n", 32, shared) == kHazard);
  }
  SUBCASE("shared memory that nobody wrote") {
    CHECK(run(own_place + "ld.shared.u32 %r4, [%r1];\n", 32, shared) == kHazard);
  }
  SUBCASE("beyond shared memory") { CHECK(run(own_place + "st.shared.u32 [%r1+508], %r0;\n", 32, shared) == 700); }
  SUBCASE("beyond global memory") { CHECK(run("ld.global.u64 %d5, [%d2+8];\n") == 700); }
  SUBCASE("an address that is not aligned") { CHECK(run("ld.global.u64 %d5, [%d2+4];\n") == 716); }
  SUBCASE("two blocks that write bytes of a word, each its own or the same") {
    const std::string own_byte = "mov.u32 %r1, %ctaid.x;\nmul.wide.u32 %d5, %r1, 1;\nadd.s64 %d5, %d1, %d5;\n";
    CHECK(run(own_byte + "st.global.u8 [%d5], %r1;\n", 1, "", 2) == 0);
    CHECK(run("mov.u32 %r1, %ctaid.x;\nst.global.u8 [%d1], %r1;\n", 1, "", 2) == kHazard);
  }
  SUBCASE("two blocks that write a word") { CHECK(run("st.global.u64 [%d2], %d0;\n", 32, "", 2) == kHazard); }
  SUBCASE("a shuffle that half of the warp does not reach") {
    CHECK(run("setp.lt.u32 %p1, %r0, 16;\n@%p1 bra OUT;\nshfl.sync.bfly.b32 %r5, %r0, 1, 31, -1;\nOUT:\n") == 719);
  }
  SUBCASE("a barrier that some threads pass elsewhere") {
    CHECK(run("setp.lt.u32 %p1, %r0, 16;\n@%p1 bra ELSE;\nbar.sync 0;\nbra OUT;\nELSE:\nbar.sync 0;\nOUT:\n") == 719);
  }
  SUBCASE("an asynchronous copy that nobody waits for") {
    CHECK(run("mov.u32 %r1, buffer;\nmad.lo.s32 %r1, %r0, 8, %r1;\ncp.async.ca.shared.global [%r1], [%d2], 8;\n"
              "cp.async.commit_group;\n",
              32, shared) == kHazard);
  }
  SUBCASE("an asynchronous copy read before it is there") {
    CHECK(run("mov.u32 %r1, buffer;\nmad.lo.s32 %r1, %r0, 8, %r1;\ncp.async.ca.shared.global [%r1], [%d2], 8;\n"
              "cp.async.commit_group;\nld.shared.u32 %r4, [%r1];\ncp.async.wait_group 0;\n",
              32, shared) == kHazard);
  }
  SUBCASE("more threads than a device takes") {
    const auto module = std::unique_ptr<Module>(load_module(module_of("")));
    CHECK_FALSE(can_launch(module->kernels.at("test"), {1, 1, 1}, {1025, 1, 1}, 0));
    CHECK_FALSE(can_launch(module->kernels.at("test"), {1, 1, 1}, {32, 1, 1}, 49 << 10));
    CHECK(can_launch(module->kernels.at("test"), {1, 1, 1}, {1024, 1, 1}, 48 << 10));
  }
}
