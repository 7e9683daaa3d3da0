// Expanded codes: how a PVQ segment of any lattice lies on the device where memory is no matter: a byte a pulse, and
// level / ||p|| a group in single precision; 10 bits a weight with groups of 16. What kernels read of it is the same
// for all codes.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel/thread_pool.h"
#include "core/pvq/pvq_code.h"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// Whether pulses fit a byte, and the kernels know the size of the groups.
bool can_expand(const PvqCode& code);

// Chunks of kExpandedChunk columns that hold a row.
size_t chunks_of_row(const PvqCode& code);
// Gains of a chunk of kExpandedChunk columns; groups larger than a chunk have theirs in each.
size_t gains_of_chunk(const PvqCode& code);

struct ExpandedRowsOnHost {
  // rows x chunks_of_row() x kExpandedChunk, zeros from the last column on; rows x chunks_of_row() x gains_of_chunk().
  std::vector<int8_t> pulses;
  std::vector<float> gains;
};

// codes: the segment's bytes of the first row, valid ones, each row row_bytes after the one before, pvq_read_ahead
// bytes readable behind the last. code: can_expand().
ExpandedRowsOnHost expand_rows(const PvqCode& code, const uint8_t* codes, size_t row_bytes, size_t rows,
                               ThreadPool& pool);

}  // namespace pyramidion::cuda
