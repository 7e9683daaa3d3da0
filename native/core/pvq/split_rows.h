// The memory layout `split` of a segment: the information of the codes with bit fields of their own, so that decoding
// takes no search and no division. For the integers with D = 8 and 16 and at most 31 pulses.
//
// A group's D / 4 quads hold k_1, k_2, ... pulses, a composition of K, and each quad is a point of P(4,k_q). From bit 0
// on: the number of the composition (the position of its word in `compositions`, which ascend; of two parts, k_2), the
// level, and the quads' indices (QuadTable), each in ceil(log2 N(4,k_q)) bits. Groups have the same number of bits and
// stand one behind the other, as those of a code do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/parallel/thread_pool.h"
#include "core/pvq/pvq_code.h"
#include "cpu/pvq_pulses/dispatch.h"

namespace pyramidion {

struct SplitRows {
  // Whether a code has this layout.
  static bool supports(const PvqCode& code);

  // As ExpandedRows.
  SplitRows(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set,
            ThreadPool* pool);

  std::shared_ptr<const QuadTable> quads;
  size_t groups;
  int quad_count;
  // k_q in byte q, four bytes where there are two quads as well.
  std::vector<uint32_t> compositions;
  int composition_bits, level_bits;
  // By pulses k: the bits of an index in P(4,k).
  alignas(64) uint32_t index_bits[QuadTable::max_pulses + 1];
  // Of a group, and the bytes of a row.
  int bits;
  size_t row_bytes;
  // With pvq_read_ahead bytes at the end.
  std::vector<uint8_t> data;

  const uint8_t* at(size_t row) const { return data.data() + row * row_bytes; }
  size_t bytes() const { return data.size() + compositions.size() * sizeof(uint32_t); }

 private:
  void pack_row(const uint8_t* pulses, const uint16_t* levels, const std::vector<PyramidCounts>& counts,
                uint8_t* row) const;
};

}  // namespace pyramidion
