// What other bindings need of PVQ: its arguments turned into core types.
#pragma once

#include <memory>
#include <vector>

#include "addon/arguments.h"
#include "core/pvq/pvq_matrix.h"

namespace pyramidion {

// The pyramids' tables, shared by every environment of the process.
PyramidCache& shared_pyramids();

// PvqSegment[] of lib/native.ts.
std::vector<PvqSegment> pvq_segments(const Argument& segments);

// PvqWeights of lib/native.ts as a matrix, everything in it checked.
std::unique_ptr<PvqMatrix> pvq_matrix(const Argument& weights);

}  // namespace pyramidion
