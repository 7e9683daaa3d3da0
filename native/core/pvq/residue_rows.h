// The memory layouts `split` and `compact` of integer codes with D = 8 and 16: magnitudes modulo 4 in fields of two
// bits, and what these leave open in a stream of bits. Decoding takes no search, no division and no table.
//
// A row is a sequence of blocks of 16 groups, one in each lane, in the quads of integer_tokens.h. Each block has
// fields:
// - residues |p| mod 4, 16 bytes a quad, quad by quad four to a byte. D = 16: bits 2q of byte i are byte i of quad q.
//   D = 8: byte i < 32 holds byte i of quads 0 and 1, then byte i + 32 of both;
// - Signs::all: 64 bits a quad, bit i set where the pulse of byte i is negative; then, for each of `extra_bits`, 16
// bits
//   with the next bit of every level symbol.
// The field of a group's last coordinate is not needed, because magnitudes add up to K: with S the sum of the other
// residues, K - S = 4 t + the last residue, t being the number of fours that the residues lack. It holds the low two
// bits s of the group's level symbol instead.
//
// A row has two streams of bits besides, bit 0 first, block by block and lane by lane within each item. What a block
// takes of the first follows from its fields alone, so that no block has to wait for the one before it.
// - Open fields. Signs::nonzero: for each of `extra_bits`, the next bit of the level symbol, of groups with s > 0.
// Then,
//   for j = 1, 2, ...: of groups with t >= j, log2 D bits, the place of the j-th four; places ascend.
// - Signs::nonzero: for each quad, of pulses that are not zero, whether they are negative.
// Symbol 0 is the level in the middle, which is the most usual; the others follow in order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/parallel/thread_pool.h"
#include "core/pvq/integer_tokens.h"
#include "core/pvq/pvq_code.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

struct ResidueRows {
  // Which signs are kept: those of zeros take 1.7 bits a group at K = 1.5 D and save the search for them.
  enum class Signs { nonzero, all };

  static bool supports(const PvqCode& code);

  // codes: valid ones of a supported code, row r at codes + r * stride, pvq_read_ahead bytes readable behind the last.
  ResidueRows(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, Signs signs, InstructionSet set,
              ThreadPool* pool);

  static constexpr size_t max_symbols = 16;

  Signs signs;
  size_t groups, blocks;
  int quads, pulses;
  // log2 D, and the bits of a level symbol beyond two.
  int place_bits, extra_bits;
  size_t block_bytes;
  // rows x blocks x block_bytes.
  std::vector<uint8_t> fields;
  // Where a row's streams start in `streams`, behind which 16 bytes may be read: with four bytes, the number of those
  // of the first and from bit 24 on the most fours that a group of the row lacks.
  std::vector<uint32_t> starts;
  std::vector<uint8_t> streams;
  // The level of each symbol; 0 for those that are not used.
  uint16_t level_of[max_symbols];

  // The levels of symbols; 0 for those that are not used.
  std::vector<float> symbol_levels(const std::vector<float>& levels) const;
  const uint8_t* row_fields(size_t row) const { return fields.data() + row * blocks * block_bytes; }
  const uint8_t* row_open(size_t row) const { return streams.data() + starts[row] + 4; }
  const uint8_t* row_signs(size_t row) const { return row_open(row) + (row_head(row) & 0xffffff); }
  int row_fours(size_t row) const { return static_cast<int>(row_head(row) >> 24); }
  // Lanes of a block that hold groups.
  size_t lanes(size_t block) const { return std::min(block_groups, groups - block * block_groups); }
  uint32_t row_head(size_t row) const {
    uint32_t head;
    std::memcpy(&head, streams.data() + starts[row], sizeof(head));
    return head;
  }
  size_t bytes() const { return fields.size() + starts.size() * sizeof(uint32_t) + streams.size(); }
};

// Reads the blocks of a row one after the other, as defined above.
class ResidueReader {
 public:
  ResidueReader(const ResidueRows& rows, size_t row)
      : rows_(rows), fields_(rows.row_fields(row)), open_{rows.row_open(row)}, signs_{rows.row_signs(row)} {}

  // pulses: 16 groups of D, lanes beyond the row zero; symbols: 16.
  void next(int8_t* pulses, uint8_t* symbols);

 private:
  struct Stream {
    const uint8_t* bytes;
    size_t position = 0;

    uint32_t read(int bits);
  };

  const ResidueRows& rows_;
  const uint8_t* fields_;
  Stream open_, signs_;
  size_t block_ = 0;
};

}  // namespace pyramidion
