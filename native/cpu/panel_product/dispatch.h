// Products of panels of rows (core/pvq/row_panel.h) with many int8 tokens, in the fastest form this processor runs.
#pragma once

#include <vector>

#include "core/pvq/expanded_rows.h"
#include "core/pvq/row_panel.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

struct PanelKernel {
  // AMX, an extension that only some processors with AVX-512 have, makes a kernel of its own.
  InstructionSet instruction_set;
  // Brings rows [first, first + count), panel_rows at most, of `groups` groups each, into a part of a panel for this
  // kernel. rows have a table of factors.
  void (*fill)(const ExpandedRows& rows, size_t groups, size_t first, size_t count, uint8_t* part);
  // sums (tokens x panel_rows) of the lanes of core/pvq/integer_tokens.h over all parts; tokens: of each part.
  void (*multiply)(const PanelPart* parts, size_t part_count, const PanelTokens* tokens, size_t token_count,
                   float* sums);
};

// Those that this processor may have; best first. None where many tokens go row by row (cpu/expanded_product).
const std::vector<PanelKernel>& panel_kernels();

// The first of them that `set` covers, or null.
const PanelKernel* panel_kernel(InstructionSet set = instruction_set());

// From this many tokens on panels are worth being filled.
constexpr size_t least_panel_tokens = 16;

}  // namespace pyramidion
