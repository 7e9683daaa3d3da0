// Values to PVQ rows: pyramid search, level choice, codes and the row scale, for all rows of a matrix.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel/job_control.h"
#include "core/parallel/thread_pool.h"
#include "core/pvq/point_finder.h"
#include "core/pvq/pvq_code.h"

namespace pyramidion {

struct PvqRows {
  // rows x layout.row_bytes.
  std::vector<uint8_t> codes;
  // f16, one a row.
  std::vector<uint16_t> row_scale;
};

// The largest f16.
constexpr double largest_row_scale = 65504;

double root_mean_square(const float* row, size_t columns);

// Throws NOT_FINITE for a NaN or infinity, INVALID_ARGUMENT for a row whose root mean square is beyond f16.
void check_row_values(const float* values, size_t rows, size_t columns, ThreadPool& pool);

// values: rows x layout.columns. Rows are independent, and the same on every machine and any number of threads.
// Throws before any work starts NOT_FINITE for a NaN or infinity and INVALID_ARGUMENT for a row whose root mean square
// is beyond f16; ABORTED when control asks for it. control counts the rows.
PvqRows encode_rows(const float* values, size_t rows, const PvqLayout& layout, FindPoints find, ThreadPool& pool,
                    const JobControl& control);

}  // namespace pyramidion
