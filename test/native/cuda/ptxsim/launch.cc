#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>

#include "block.h"
#include "interpreter.h"

namespace ptxsim {
namespace {

void report(const Kernel& kernel) {
  uint64_t issues = 0, lanes = 0;
  for (const Instruction& instruction : kernel.code) {
    issues += instruction.issues;
    lanes += instruction.lanes;
  }
  std::fprintf(stderr, "PTXSIM REPORT %s: %llu warp instructions, %.1f of 32 lanes in use\n", kernel.name.c_str(),
               static_cast<unsigned long long>(issues), issues > 0 ? static_cast<double>(lanes) / issues : 0.0);
  for (const Instruction& instruction : kernel.code) {
    if (instruction.transactions == 0) continue;
    std::fprintf(stderr, "  line %4d %-32s x %-8llu %llu transactions, %llu would do\n", instruction.line,
                 instruction.mnemonic.c_str(), static_cast<unsigned long long>(instruction.issues),
                 static_cast<unsigned long long>(instruction.transactions),
                 static_cast<unsigned long long>(instruction.ideal_transactions));
  }
}

}  // namespace

bool can_launch(const Kernel& kernel, Extent grid, Extent block, size_t shared_bytes) {
  const uint64_t threads = block.count();
  const char* reason = nullptr;
  if (threads == 0 || threads > 1024 || block.z > 64) reason = "a block has 1 to 1024 threads";
  if (kernel.most_threads > 0 && threads > kernel.most_threads) reason = "more threads than __launch_bounds__ says";
  if (grid.count() == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) reason = "the grid is out of range";
  if (kernel.dynamic_offset() + shared_bytes > kernel.allowed_shared) reason = "more shared memory than was allowed";
  if (reason != nullptr) std::fprintf(stderr, "PTXSIM LAUNCH %s: %s\n", kernel.name.c_str(), reason);
  return reason == nullptr;
}

int launch(Kernel& kernel, Extent grid, Extent block, size_t shared_bytes, const void* parameters) {
  static uint32_t launches = 0;
  ++launches;
  const char* text = std::getenv("PTXSIM_SEED");
  const auto seed = text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : 0;
  std::vector<uint32_t> order(grid.count());
  std::iota(order.begin(), order.end(), 0);
  if (seed > 0) std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  const uint64_t before = hazards();
  int result = 0;
  try {
    for (uint32_t index : order) {
      Block(kernel, grid, block, index, shared_bytes, static_cast<const uint8_t*>(parameters), launches, seed).run();
    }
  } catch (const Fault& fault) {
    std::fprintf(stderr, "PTXSIM FAULT %d %s\n", fault.code, fault.what());
    result = fault.code;
  }
  if (std::getenv("PTXSIM_REPORT") != nullptr) report(kernel);
  return result != 0 || hazards() == before ? result : kLaunchFailed;
}

}  // namespace ptxsim
