// The native tests' entry point; doctest finds the cases in the other files.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "core/pvq/patched_rows.h"
#include "core/pvq/residue_rows.h"
#include "cpu/expanded_product/dispatch.h"
#include "cpu/guided_rounding/dispatch.h"
#include "cpu/packed_product/dispatch.h"
#include "cpu/pvq_decode/dispatch.h"
#include "cpu/pvq_pulses/dispatch.h"
#include "cpu/pvq_search/dispatch.h"

using namespace pyramidion;

namespace {

template <class Kernel>
void print_kernels(const char* family, const std::vector<Kernel>& kernels) {
  std::printf("  %s:", family);
  for (const Kernel& kernel : kernels) {
    if (kernel.instruction_set <= supported_instruction_set()) std::printf(" %s", name_of(kernel.instruction_set));
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("instruction sets under test:");
  for (InstructionSet set : instruction_sets) {
    if (set <= supported_instruction_set()) std::printf(" %s", name_of(set));
  }
  std::printf("\n");
  print_kernels("search", pvq_search_kernels());
  print_kernels("calibrated rounding", guided_kernels());
  print_kernels("decoding", pvq_decode_kernels());
  print_kernels("pulses", pvq_pulses_kernels());
  print_kernels("residue rows", packed_product_kernels<ResidueRows>());
  print_kernels("patched rows", packed_product_kernels<PatchedRows>());
  print_kernels("integer products", expanded_product_kernels());
  return doctest::Context(argc, argv).run();
}
