#include "core/pvq/expanded_rows.h"

#include <algorithm>
#include <cstring>

#include "core/pvq/bit_stream.h"

namespace pyramidion {
namespace {

// Rows looked at before it is decided whether narrow blocks are worth having.
constexpr size_t kSampleRows = 32;
// Rows of a chunk, which one thread expands at a time.
constexpr size_t kChunkRows = 64;

size_t tags_of(const PvqCode& code) {
  return code.levels.size() * (code.lattice == Lattice::barnes_wall ? reed_muller_words : 1);
}

int bits_of_tags(const PvqCode& code) { return tags_of(code) <= 16 ? 4 : tags_of(code) <= 256 ? 8 : 16; }

int nibble_place(size_t lane) { return static_cast<int>(32 * (lane % 2) + 4 * (lane / 2)); }

// A block before it is packed.
struct Block {
  int8_t pulses[block_groups][PyramidCounts::max_dimension];
  uint32_t tags[block_groups];
  // What is odd in each group.
  uint32_t words[block_groups];
};

// Rows as they are made.
class Chunk {
 public:
  Chunk(const PvqCode& code, bool all_wide)
      : code_(code), quads_(static_cast<size_t>(quads_of(code))), tag_bits_(bits_of_tags(code)), all_wide_(all_wide) {}

  void add(const uint8_t* codes) {
    rows.push_back({pulses.size(), wide_blocks.size()});
    for (size_t b = 0; b < blocks_of(code_); ++b) {
      read(codes, b);
      if (all_wide_) {
        pack_wide();
      } else if (fits()) {
        pack_narrow();
      } else {
        wide_blocks.push_back(static_cast<uint32_t>(b));
        pack_wide();
      }
      pack_tags();
    }
  }

  std::vector<ExpandedRows::Row> rows;
  std::vector<uint8_t> pulses, tags;
  std::vector<uint32_t> wide_blocks;

 private:
  void read(const uint8_t* codes, size_t b) {
    std::memset(&block_, 0, sizeof(block_));
    const size_t count = std::min(block_groups, code_.groups - b * block_groups);
    for (size_t lane = 0; lane < count; ++lane) {
      const size_t group = b * block_groups + lane;
      const uint64_t value = read_code(codes, group * static_cast<size_t>(code_.bits), code_.bits);
      int16_t point[PyramidCounts::max_dimension];
      code_.points->point_of(value % code_.count(), point);
      block_.tags[lane] = static_cast<uint32_t>(value / code_.count());
      for (int i = 0; i < code_.dimension; ++i) {
        block_.pulses[lane][i] = static_cast<int8_t>(point[i]);
        if (code_.lattice == Lattice::barnes_wall) block_.words[lane] |= static_cast<uint32_t>(point[i] & 1) << i;
      }
      if (code_.lattice == Lattice::barnes_wall) {
        block_.tags[lane] = 32 * block_.tags[lane] + static_cast<uint32_t>(reed_muller_number(block_.words[lane]));
      }
    }
  }

  // What a narrow block holds, less 8.
  int narrow(size_t lane, size_t i) const {
    const int odd = static_cast<int>(block_.words[lane] >> i & 1), p = block_.pulses[lane][i];
    return code_.lattice == Lattice::barnes_wall ? (p - odd) / 2 : p;
  }

  bool fits() const {
    if (quads_ < 2) return false;
    for (size_t lane = 0; lane < block_groups; ++lane) {
      for (size_t i = 0; i < 4 * quads_; ++i) {
        if (narrow(lane, i) < -8 || narrow(lane, i) > 7) return false;
      }
    }
    return true;
  }

  void pack_narrow() {
    const size_t start = pulses.size();
    pulses.resize(start + quads_ * 32);
    for (size_t lane = 0; lane < block_groups; ++lane) {
      for (size_t i = 0; i < 4 * quads_; ++i) {
        const size_t q = i / 4;
        pulses[start + q / 2 * 64 + lane * 4 + i % 4] |=
            static_cast<uint8_t>((narrow(lane, i) + 8) << (q % 2 == 0 ? 0 : 4));
      }
    }
  }

  void pack_wide() {
    const size_t start = pulses.size();
    pulses.resize(start + quads_ * 64);
    for (size_t lane = 0; lane < block_groups; ++lane) {
      for (size_t i = 0; i < 4 * quads_; ++i) {
        pulses[start + i / 4 * 64 + lane * 4 + i % 4] = static_cast<uint8_t>(block_.pulses[lane][i] + 128);
      }
    }
  }

  void pack_tags() {
    uint64_t nibbles = 0;
    for (size_t lane = 0; lane < block_groups; ++lane) {
      nibbles |= static_cast<uint64_t>(block_.tags[lane]) << nibble_place(lane);
      if (tag_bits_ > 4) tags.push_back(static_cast<uint8_t>(block_.tags[lane]));
      if (tag_bits_ > 8) tags.push_back(static_cast<uint8_t>(block_.tags[lane] >> 8));
    }
    if (tag_bits_ == 4)
      tags.insert(tags.end(), reinterpret_cast<uint8_t*>(&nibbles), reinterpret_cast<uint8_t*>(&nibbles + 1));
  }

  const PvqCode& code_;
  size_t quads_;
  int tag_bits_;
  bool all_wide_;
  Block block_{};
};

// Whether most blocks would be wide anyway.
bool mostly_wide(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows) {
  Chunk sample(code, false);
  const size_t step = std::max<size_t>(1, rows / kSampleRows);
  for (size_t row = 0; row < rows; row += step) sample.add(codes + row * stride);
  return 2 * sample.wide_blocks.size() > sample.rows.size() * blocks_of(code);
}

}  // namespace

bool ExpandedRows::supports(const PvqCode& code) { return code.pulses <= 127 && tags_of(code) <= size_t{1} << 16; }

ExpandedRows::ExpandedRows(const PvqCode& code, const uint8_t* codes, size_t stride, size_t row_count, ThreadPool* pool)
    : blocks(blocks_of(code)),
      quads(quads_of(code)),
      words(code.lattice == Lattice::barnes_wall),
      all_wide(mostly_wide(code, codes, stride, row_count)),
      tag_bits(bits_of_tags(code)),
      pulses(0),
      levels(code.levels),
      factors(code) {
  std::vector<Chunk> chunks((row_count + kChunkRows - 1) / kChunkRows, Chunk(code, all_wide));
  const auto expand = [&](size_t first, size_t last) {
    for (size_t c = first; c < last; ++c) {
      for (size_t row = c * kChunkRows; row < std::min(row_count, (c + 1) * kChunkRows); ++row) {
        chunks[c].add(codes + row * stride);
      }
    }
  };
  if (pool != nullptr) {
    pool->parallel_for(chunks.size(), 1, expand);
  } else {
    expand(0, chunks.size());
  }
  size_t size = 0;
  for (const Chunk& chunk : chunks) size += chunk.pulses.size();
  pulses = AlignedBuffer<uint8_t>(size);
  size = 0;
  for (Chunk& chunk : chunks) {
    for (const Row& row : chunk.rows) rows.push_back({row.pulses + size, row.wide_blocks + wide_blocks.size()});
    std::copy(chunk.pulses.begin(), chunk.pulses.end(), pulses.data() + size);
    tags.insert(tags.end(), chunk.tags.begin(), chunk.tags.end());
    wide_blocks.insert(wide_blocks.end(), chunk.wide_blocks.begin(), chunk.wide_blocks.end());
    size += chunk.pulses.size();
    std::vector<uint8_t>().swap(chunk.pulses);
  }
  rows.push_back({size, wide_blocks.size()});
  tags.shrink_to_fit();
}

size_t ExpandedRows::bytes() const {
  return rows.back().pulses + tags.size() + wide_blocks.size() * sizeof(uint32_t) + rows.size() * sizeof(Row) +
         factors.values.size() * sizeof(float);
}

ExpandedReader::ExpandedReader(const ExpandedRows& rows, size_t row)
    : rows_(rows),
      pulses_(rows.pulses.data() + rows.rows[row].pulses),
      tags_(rows.row_tags(row)),
      wide_(rows.wide_blocks.data() + rows.rows[row].wide_blocks),
      wide_end_(rows.wide_blocks.data() + rows.rows[row + 1].wide_blocks) {}

bool ExpandedReader::next_is_wide() {
  if (rows_.all_wide) return true;
  if (wide_ == wide_end_ || *wide_ != block_) return false;
  ++wide_;
  return true;
}

void ExpandedReader::read_tags(uint32_t* tags) const {
  uint64_t nibbles = 0;
  if (rows_.tag_bits == 4) std::memcpy(&nibbles, tags_, sizeof(nibbles));
  for (size_t lane = 0; lane < block_groups; ++lane) {
    if (rows_.tag_bits == 4) {
      tags[lane] = nibbles >> nibble_place(lane) & 15;
    } else if (rows_.tag_bits == 8) {
      tags[lane] = tags_[lane];
    } else {
      tags[lane] = static_cast<uint32_t>(tags_[2 * lane] | tags_[2 * lane + 1] << 8);
    }
  }
}

void ExpandedReader::next(int8_t* pulses, uint32_t* tags) {
  const bool wide = next_is_wide();
  const size_t quads = static_cast<size_t>(rows_.quads);
  read_tags(tags);
  for (size_t lane = 0; lane < block_groups; ++lane) {
    const uint32_t word = rows_.words ? reed_muller.word[tags[lane] % reed_muller_words] : 0;
    for (size_t i = 0; i < 4 * quads; ++i) {
      const size_t q = i / 4, place = lane * 4 + i % 4;
      if (wide) {
        pulses[lane * 4 * quads + i] = static_cast<int8_t>(pulses_[q * 64 + place] - 128);
      } else {
        const int nibble = (pulses_[q / 2 * 64 + place] >> (q % 2 == 0 ? 0 : 4) & 15) - 8;
        pulses[lane * 4 * quads + i] =
            static_cast<int8_t>(rows_.words ? 2 * nibble + static_cast<int>(word >> i & 1) : nibble);
      }
    }
  }
  pulses_ += wide ? rows_.wide_bytes() : rows_.narrow_bytes();
  tags_ += rows_.tag_bytes();
  ++block_;
}

}  // namespace pyramidion
