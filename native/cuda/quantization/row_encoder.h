// Values to PVQ rows on a GPU, with the bytes of core/pvq/row_encoder.h.
#pragma once

#include "core/pvq/row_encoder.h"

namespace pyramidion::cuda {

// As encode_rows of the core: values rows x layout.columns, coded a few rows at a time, between which control is asked
// and told. Throws what that throws, and UNSUPPORTED_FORMAT for codes without a kernel, DEVICE_UNAVAILABLE,
// DEVICE_ERROR, OUT_OF_MEMORY.
PvqRows encode_rows_on_device(const float* values, size_t rows, const PvqLayout& layout, ThreadPool& pool,
                              const JobControl& control);

}  // namespace pyramidion::cuda
