// The memory layout `expanded` of a segment: the pulses of all groups, mostly four bits each, and a tag a group.
//
// A row is a sequence of blocks of 16 groups, one in each lane, in the quads of integer_tokens.h; of the last block
// only the lanes that have a group are kept, so a vector there is 4 last_lanes bytes. A block is
// - narrow: byte i of vector h (quads / 2 of them) holds a pulse of quad 2h in its lower four bits and one of quad
//   2h + 1 in its upper four, as p + 8. With the Barnes-Wall lattice, whose points are even or odd where their word
//   says so, they are half pulses, (p - word bit) / 2 + 8;
// - narrow with overflows: pulses are kept modulo 16, so that -16 to 15 fit. Behind the vectors there are 64 bits for
//   each quad of which some pulse is beyond -8..7, by increasing quad: bit i is set where the pulse of byte i is;
// - wide: quads vectors with a pulse a byte, as p + 128.
//
// The byte of a block in `forms` is 0, the sum of 2^q over quads with overflows (of four at most), or `wide`.
//
// A group's tag is its level, for the Barnes-Wall lattice 32 level + the number of its word. Tags have 4, 8 or 16 bits;
// those of four bits stand in the 64 bits of a block at bit 32 (lane % 2) + 4 (lane / 2). Lanes beyond the row have tag
// 0.
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
  // Rows without pulses, to be filled in: all blocks wide and whole, with tags of 16 bits that are levels, whatever the
  // lattice.
  ExpandedRows(const PvqCode& code, std::shared_ptr<const GroupFactors> factors, size_t rows);

  static constexpr uint8_t wide = 0x80;

  size_t blocks, last_lanes;
  int quads;
  bool words;
  int tag_bits;
  // Where the blocks of a row start in `pulses`, in units of four bytes; one more behind the last row.
  std::vector<uint32_t> starts;
  AlignedBuffer<uint8_t> pulses;
  std::vector<uint8_t> tags;
  // Empty where all blocks are wide.
  std::vector<uint8_t> forms;
  std::shared_ptr<const GroupFactors> factors;

  uint32_t level(uint32_t tag) const { return words ? tag / reed_muller_words : tag; }
  size_t lanes(size_t block) const { return block + 1 < blocks ? block_groups : last_lanes; }
  size_t tag_bytes() const { return static_cast<size_t>(tag_bits) * block_groups / 8; }
  uint8_t* row_pulses(size_t row) { return pulses.data() + size_t{4} * starts[row]; }
  const uint8_t* row_pulses(size_t row) const { return pulses.data() + size_t{4} * starts[row]; }
  const uint8_t* row_tags(size_t row) const { return tags.data() + row * blocks * tag_bytes(); }
  // Null where all blocks are wide.
  const uint8_t* row_forms(size_t row) const { return forms.empty() ? nullptr : forms.data() + row * blocks; }
  // The levels of a row to be filled in.
  uint16_t* wide_levels(size_t row) { return reinterpret_cast<uint16_t*>(tags.data()) + row * blocks * block_groups; }
  size_t bytes() const;
};

// Reads the blocks of a row one after the other, as defined above.
class ExpandedReader {
 public:
  ExpandedReader(const ExpandedRows& rows, size_t row);

  // pulses: 16 groups of 4 quads coordinates, lanes beyond the row zero; tags: 16.
  void next(int8_t* pulses, uint32_t* tags);

 private:
  void read_tags(uint32_t* tags) const;
  int narrow_pulse(size_t quad, size_t place, uint64_t overflow) const;

  const ExpandedRows& rows_;
  const uint8_t *pulses_, *tags_, *forms_;
  size_t block_ = 0;
};

}  // namespace pyramidion
