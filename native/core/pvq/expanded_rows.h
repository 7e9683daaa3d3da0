// The memory layout `expanded` of a segment: the pulses of all groups, four or eight bits each, and a tag a group.
//
// A row is a sequence of blocks of 16 groups, one in each lane, in the quads of integer_tokens.h. A block is
// - narrow: byte i of vector h (64 bytes, quads / 2 of them) holds a pulse of quad 2h in its lower four bits and one of
// quad
//   2h + 1 in its upper four, as p + 8. With the Barnes-Wall lattice, whose points are even or odd where their word
//   says so, they are half pulses, (p - word bit) / 2 + 8;
// - wide, where a pulse does not fit that: quads vectors with a pulse a byte, as p + 128.
//
// A group's tag is its level, for the Barnes-Wall lattice 32 level + the number of its word. Tags have 4, 8 or 16 bits;
// those of four bits stand in the 64 bits of a block at bit 32 (lane % 2) + 4 (lane / 2). Groups beyond the row have no
// pulses and tag 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/parallel/thread_pool.h"
#include "core/pvq/group_factors.h"
#include "core/pvq/integer_tokens.h"
#include "core/pvq/reed_muller.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

struct ExpandedRows {
  // Whether pulses fit a byte and tags two.
  static bool supports(const PvqCode& code);

  // codes: valid ones of a supported code, row r at codes + r * stride, pvq_read_ahead bytes readable behind the last.
  ExpandedRows(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set,
               ThreadPool* pool);
  // Rows without pulses, to be filled in: all blocks wide, with tags of 16 bits that are levels, whatever the lattice.
  ExpandedRows(const PvqCode& code, std::shared_ptr<const GroupFactors> factors, size_t rows);

  // Where the blocks of a row start in `pulses`, and its entries in `wide_blocks`; one more behind the last row.
  struct Row {
    size_t pulses, wide_blocks;
  };

  size_t blocks;
  int quads;
  bool words;
  // All blocks are wide, and wide_blocks is empty.
  bool all_wide;
  int tag_bits;
  std::vector<Row> rows;
  // 64-byte aligned.
  AlignedBuffer<uint8_t> pulses;
  std::vector<uint8_t> tags;
  // The wide blocks of each row, ascending.
  std::vector<uint32_t> wide_blocks;
  std::shared_ptr<const GroupFactors> factors;

  uint32_t level(uint32_t tag) const { return words ? tag / reed_muller_words : tag; }
  size_t wide_bytes() const { return static_cast<size_t>(quads) * 64; }
  size_t narrow_bytes() const { return wide_bytes() / 2; }
  size_t tag_bytes() const { return static_cast<size_t>(tag_bits) * block_groups / 8; }
  // The levels of a row to be filled in.
  uint16_t* wide_levels(size_t row) { return reinterpret_cast<uint16_t*>(tags.data()) + row * blocks * block_groups; }
  const uint8_t* row_tags(size_t row) const { return tags.data() + row * blocks * tag_bytes(); }
  size_t bytes() const;
};

// Reads the blocks of a row one after the other, as defined above.
class ExpandedReader {
 public:
  ExpandedReader(const ExpandedRows& rows, size_t row);

  // pulses: 16 groups of 4 quads coordinates; tags: 16.
  void next(int8_t* pulses, uint32_t* tags);

 private:
  bool next_is_wide();
  void read_tags(uint32_t* tags) const;

  const ExpandedRows& rows_;
  const uint8_t *pulses_, *tags_;
  const uint32_t *wide_, *wide_end_;
  size_t block_ = 0;
};

}  // namespace pyramidion
