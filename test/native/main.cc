// The native tests' entry point; doctest finds the cases in the other files.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "cpu/instruction_set.h"

int main(int argc, char** argv) {
  using namespace pyramidion;
  std::printf("instruction sets under test:");
  for (InstructionSet set : instruction_sets) {
    if (set <= supported_instruction_set()) std::printf(" %s", name_of(set));
  }
  std::printf("\n");
  return doctest::Context(argc, argv).run();
}
