// What other bindings need of PVQ: its arguments turned into core types.
#pragma once

#include <vector>

#include "addon/arguments.h"
#include "core/pvq/pvq_code.h"

namespace pyramidion {

// The pyramids' tables, shared by every environment of the process.
PyramidCache& shared_pyramids();

// PvqSegment[] of lib/native.ts.
std::vector<PvqSegment> pvq_segments(const Argument& segments);

}  // namespace pyramidion
