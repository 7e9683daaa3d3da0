#include "cuda/expanded_codes.h"

#include <algorithm>

#include "core/aligned_buffer.h"
#include "core/pvq/expanded_rows.h"
#include "cpu/pvq_pulses/dispatch.h"
#include "cuda/layout.h"

namespace pyramidion::cuda {

bool can_expand(const PvqCode& code) { return code.dimension >= 4 && ExpandedRows::supports(code); }

size_t chunks_of_row(const PvqCode& code) { return (code.columns + kExpandedChunk - 1) / kExpandedChunk; }

size_t gains_of_chunk(const PvqCode& code) {
  return std::max<size_t>(1, kExpandedChunk / static_cast<size_t>(code.dimension));
}

ExpandedRowsOnHost expand_rows(const PvqCode& code, const uint8_t* codes, size_t row_bytes, size_t rows,
                               ThreadPool& pool) {
  const size_t chunks = chunks_of_row(code), gains = gains_of_chunk(code), columns = chunks * kExpandedChunk;
  const auto dimension = static_cast<size_t>(code.dimension), quads = static_cast<size_t>(quads_of(code));
  // A group of 32 has its gain in both of its chunks.
  const size_t copies = std::max<size_t>(1, dimension / kExpandedChunk);
  const PvqCode numbered = with_numbered_levels(code);
  const PvqPulsesKernel& kernel = pvq_pulses_kernel(numbered);
  ExpandedRowsOnHost result{std::vector<int8_t>(rows * columns), std::vector<float>(rows * chunks * gains)};
  pool.parallel_for(rows, kRewriteRows, [&](size_t begin, size_t end) {
    AlignedBuffer<uint8_t> blocks(blocks_of(code) * quads * 64);
    std::vector<uint16_t> levels(blocks_of(code) * block_groups);
    for (size_t row = begin; row < end; ++row) {
      kernel.decode(numbered, codes + row * row_bytes, blocks.data(), levels.data());
      int8_t* pulses = result.pulses.data() + row * columns;
      float* row_gains = result.gains.data() + row * chunks * gains;
      for (size_t group = 0; group < code.groups; ++group) {
        const uint8_t* lane = blocks.data() + group / block_groups * quads * 64 + group % block_groups * 4;
        int square = 0;
        for (size_t i = 0; i < dimension; ++i) {
          const int pulse = lane[i / 4 * 64 + i % 4] - 128;
          square += pulse * pulse;
          if (group * dimension + i < code.columns) pulses[group * dimension + i] = static_cast<int8_t>(pulse);
        }
        const float gain = group_factor(code.levels[levels[group]], static_cast<float>(square));
        for (size_t copy = 0; copy < copies && group * copies + copy < chunks * gains; ++copy) {
          row_gains[group * copies + copy] = gain;
        }
      }
    }
  });
  return result;
}

}  // namespace pyramidion::cuda
