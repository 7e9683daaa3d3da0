// Weights objects of lib/native.ts as matrices of the core.
#pragma once

#include <functional>
#include <memory>

#include "addon/arguments.h"
#include "core/matrix/encoded_matrix.h"
#include "core/pvq/memory_layout.h"

namespace pyramidion {

struct Weights {
  size_t rows, columns;
  // A matrix of rows [first, first + count) that owns a copy of their data. Needs no Napi, so it may run in a job.
  std::function<std::unique_ptr<EncodedMatrix>(size_t first, size_t count)> build;
};

// Checks the description and every length in it against the others. layout: of PVQ weights.
Weights parse_weights(const Argument& weights, MemoryLayout layout = MemoryLayout::compact);

// Upper bounds of rows and columns, which keep every product of two of them exact.
constexpr size_t kMostRows = size_t{1} << 31;

}  // namespace pyramidion
