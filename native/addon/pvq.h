// What other bindings need of PVQ: its arguments turned into core types.
#pragma once

#include <functional>
#include <vector>

#include "addon/job.h"
#include "core/pvq/row_encoder.h"

namespace pyramidion {

// The pyramids' tables, shared by every environment of the process.
PyramidCache& shared_pyramids();

// PvqSegment[] of lib/native.ts.
std::vector<PvqSegment> pvq_segments(const Argument& segments);

// Rows to encode at most.
constexpr size_t kMostEncodedRows = size_t{1} << 31;

// An operation whose result is the rows that `encode` makes.
Operation encoding(const JobControl& control, const std::function<PvqRows()>& encode);

// Adds the class PvqGuide.
void define_pvq_guide(Napi::Object exports);

}  // namespace pyramidion
