// Products of patched rows (core/pvq/patched_rows.h) in the fastest form that this processor runs.
#pragma once

#include <vector>

#include "core/pvq/patched_rows.h"
#include "cpu/packed_product.h"

namespace pyramidion {

using PatchedProductKernel = PackedProductKernel<PatchedRows>;

// Best first; the last one runs everywhere.
const std::vector<PatchedProductKernel>& patched_product_kernels();

}  // namespace pyramidion
