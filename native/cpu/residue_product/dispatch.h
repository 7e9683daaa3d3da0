// Products of residue rows (core/pvq/residue_rows.h) in the fastest form that this processor runs.
#pragma once

#include <vector>

#include "core/pvq/residue_rows.h"
#include "cpu/packed_product.h"

namespace pyramidion {

using ResidueProductKernel = PackedProductKernel<ResidueRows>;

// Best first; the last one runs everywhere.
const std::vector<ResidueProductKernel>& residue_product_kernels();

}  // namespace pyramidion
