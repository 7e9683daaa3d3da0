#include "core/pvq/expanded_rows.h"

#include <algorithm>
#include <cstring>

#include "cpu/pvq_pulses/dispatch.h"

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

// Rows as they are made.
class Chunk {
 public:
  Chunk(const PvqCode& code, bool all_wide, const PvqPulsesKernel& kernel)
      : code_(code),
        kernel_(kernel),
        quads_(static_cast<size_t>(quads_of(code))),
        tag_bits_(bits_of_tags(code)),
        all_wide_(all_wide) {}

  void add(const uint8_t* codes) {
    rows.push_back({pulses.size(), wide_blocks.size()});
    AlignedBuffer<uint8_t> row(blocks_of(code_) * quads_ * 64);
    std::vector<uint16_t> levels(blocks_of(code_) * block_groups);
    kernel_.decode(code_, codes, row.data(), levels.data());
    for (size_t b = 0; b < blocks_of(code_); ++b) {
      block_ = row.data() + b * quads_ * 64;
      clear_padding(b, levels.data());
      find_words();
      if (all_wide_ || !fits()) {
        if (!all_wide_) wide_blocks.push_back(static_cast<uint32_t>(b));
        pulses.insert(pulses.end(), block_, block_ + quads_ * 64);
      } else {
        pack_narrow();
      }
      pack_tags(levels.data() + b * block_groups);
    }
  }

  std::vector<ExpandedRows::Row> rows;
  std::vector<uint8_t> pulses, tags;
  std::vector<uint32_t> wide_blocks;

 private:
  void clear_padding(size_t b, uint16_t* levels) {
    for (size_t g = std::max(b * block_groups, code_.groups); g < (b + 1) * block_groups; ++g) {
      levels[g] = 0;
      for (size_t q = 0; q < quads_; ++q) std::memset(block_ + q * 64 + g % block_groups * 4, 128, 4);
    }
  }

  // What is odd in each group, four bits of a byte a quad, and the number of the word.
  void find_words() {
    if (code_.lattice != Lattice::barnes_wall) return;
    for (size_t lane = 0; lane < block_groups; ++lane) {
      uint32_t word = 0;
      for (size_t i = 0; i < 16; ++i) word |= static_cast<uint32_t>(block_[i / 4 * 64 + lane * 4 + i % 4] & 1) << i;
      words_[lane] = static_cast<uint32_t>(reed_muller_number(word));
    }
  }

  // What a byte of a wide block is in a narrow one: p + 8, or half p + 16 rounded down.
  uint8_t narrow(size_t byte) const {
    return static_cast<uint8_t>(code_.lattice == Lattice::barnes_wall ? (block_[byte] - 112) >> 1 : block_[byte] - 120);
  }

  bool fits() const {
    unsigned beyond = quads_ < 2 ? 16 : 0;
    for (size_t i = 0; i < quads_ * 64; ++i) beyond |= narrow(i);
    return beyond < 16;
  }

  void pack_narrow() {
    for (size_t i = 0; i < quads_ * 64; i += 128) {
      for (size_t place = i; place < i + 64; ++place) {
        pulses.push_back(static_cast<uint8_t>(narrow(place) | narrow(place + 64) << 4));
      }
    }
  }

  void pack_tags(const uint16_t* levels) {
    uint64_t nibbles = 0;
    for (size_t lane = 0; lane < block_groups; ++lane) {
      const uint32_t tag = code_.lattice == Lattice::barnes_wall ? 32u * levels[lane] + words_[lane] : levels[lane];
      nibbles |= static_cast<uint64_t>(tag) << nibble_place(lane);
      if (tag_bits_ > 4) tags.push_back(static_cast<uint8_t>(tag));
      if (tag_bits_ > 8) tags.push_back(static_cast<uint8_t>(tag >> 8));
    }
    for (int byte = 0; byte < 8 && tag_bits_ == 4; ++byte) tags.push_back(static_cast<uint8_t>(nibbles >> 8 * byte));
  }

  const PvqCode& code_;
  const PvqPulsesKernel& kernel_;
  size_t quads_;
  int tag_bits_;
  bool all_wide_;
  // What is being packed: quads x 64 pulses, and the numbers of its words.
  uint8_t* block_ = nullptr;
  uint32_t words_[block_groups] = {};
};

// Whether most blocks would be wide anyway.
bool mostly_wide(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, const PvqPulsesKernel& kernel) {
  Chunk sample(code, false, kernel);
  const size_t step = std::max<size_t>(1, rows / kSampleRows);
  for (size_t row = 0; row < rows; row += step) sample.add(codes + row * stride);
  return 2 * sample.wide_blocks.size() > sample.rows.size() * blocks_of(code);
}

}  // namespace

bool ExpandedRows::supports(const PvqCode& code) { return code.pulses <= 127 && tags_of(code) <= size_t{1} << 16; }

ExpandedRows::ExpandedRows(const PvqCode& given, const uint8_t* codes, size_t stride, size_t row_count,
                           InstructionSet set, ThreadPool* pool)
    : blocks(blocks_of(given)),
      quads(quads_of(given)),
      words(given.lattice == Lattice::barnes_wall),
      tag_bits(bits_of_tags(given)),
      pulses(0),
      factors(std::make_shared<GroupFactors>(given)) {
  const PvqCode code = with_numbered_levels(given);
  const PvqPulsesKernel& kernel = pvq_pulses_kernel(code, set);
  all_wide = mostly_wide(code, codes, stride, row_count, kernel);
  std::vector<Chunk> chunks((row_count + kChunkRows - 1) / kChunkRows, Chunk(code, all_wide, kernel));
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

ExpandedRows::ExpandedRows(const PvqCode& code, std::shared_ptr<const GroupFactors> shared_factors, size_t row_count)
    : blocks(blocks_of(code)),
      quads(quads_of(code)),
      words(false),
      all_wide(true),
      tag_bits(16),
      pulses(row_count * blocks * wide_bytes()),
      tags(row_count * blocks * tag_bytes()),
      factors(std::move(shared_factors)) {
  std::memset(pulses.data(), 128, row_count * blocks * wide_bytes());
  for (size_t row = 0; row <= row_count; ++row) rows.push_back({row * blocks * wide_bytes(), 0});
}

size_t ExpandedRows::bytes() const {
  return rows.back().pulses + tags.size() + wide_blocks.size() * sizeof(uint32_t) + rows.size() * sizeof(Row) +
         factors->values.size() * sizeof(float);
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
