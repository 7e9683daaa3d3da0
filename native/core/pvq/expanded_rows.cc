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
    starts.push_back(static_cast<uint32_t>(pulses.size() / 4));
    AlignedBuffer<uint8_t> row(blocks_of(code_) * quads_ * 64);
    std::vector<uint16_t> levels(blocks_of(code_) * block_groups);
    kernel_.decode(code_, codes, row.data(), levels.data());
    for (size_t b = 0; b < blocks_of(code_); ++b) {
      block_ = row.data() + b * quads_ * 64;
      bytes_ = 4 * std::min(block_groups, code_.groups - b * block_groups);
      clear_padding(b, levels.data());
      find_words();
      if (all_wide_ || !fits()) {
        if (!all_wide_) forms.push_back(ExpandedRows::wide);
        for (size_t q = 0; q < quads_; ++q) pulses.insert(pulses.end(), block_ + q * 64, block_ + q * 64 + bytes_);
      } else {
        pack_nibbles();
        pack_overflows();
      }
      pack_tags(levels.data() + b * block_groups);
    }
  }

  std::vector<uint32_t> starts;
  std::vector<uint8_t> pulses, tags, forms;

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

  // The pulse or half pulse, rounded down, that a byte of a wide block has in a narrow one.
  int narrow(size_t byte) const {
    const int pulse = block_[byte] - 128;
    return code_.lattice == Lattice::barnes_wall ? (pulse - (block_[byte] & 1)) / 2 : pulse;
  }

  bool fits() const {
    if (quads_ < 2) return false;
    const int limit = quads_ > 4 ? 8 : 16;
    for (size_t i = 0; i < quads_ * 64; ++i) {
      if (narrow(i) < -limit || narrow(i) >= limit) return false;
    }
    return true;
  }

  void pack_nibbles() {
    const auto nibble = [this](size_t place) { return static_cast<uint32_t>(narrow(place) + 8) & 15; };
    for (size_t i = 0; i < quads_ * 64; i += 128) {
      for (size_t place = i; place < i + bytes_; ++place) {
        pulses.push_back(static_cast<uint8_t>(nibble(place) | nibble(place + 64) << 4));
      }
    }
  }

  void pack_overflows() {
    uint32_t present = 0;
    for (size_t q = 0; q < quads_; ++q) {
      uint64_t bits = 0;
      for (size_t i = 0; i < bytes_; ++i) {
        const int pulse = narrow(q * 64 + i);
        bits |= static_cast<uint64_t>(pulse < -8 || pulse >= 8) << i;
      }
      if (bits == 0) continue;
      present |= 1u << q;
      for (int byte = 0; byte < 8; ++byte) pulses.push_back(static_cast<uint8_t>(bits >> 8 * byte));
    }
    forms.push_back(static_cast<uint8_t>(present));
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
  // What is being packed: quads x 64 pulses, of each quad bytes_ of them, and the numbers of its words.
  uint8_t* block_ = nullptr;
  size_t bytes_ = 0;
  uint32_t words_[block_groups] = {};
};

// Whether most blocks would be wide anyway.
bool mostly_wide(const PvqCode& code, const uint8_t* codes, size_t stride, size_t rows, const PvqPulsesKernel& kernel) {
  Chunk sample(code, false, kernel);
  const size_t step = std::max<size_t>(1, rows / kSampleRows);
  for (size_t row = 0; row < rows; row += step) sample.add(codes + row * stride);
  const auto wide = std::count(sample.forms.begin(), sample.forms.end(), ExpandedRows::wide);
  return 2 * static_cast<size_t>(wide) > sample.forms.size();
}

}  // namespace

bool ExpandedRows::supports(const PvqCode& code) { return code.pulses <= 127 && tags_of(code) <= size_t{1} << 16; }

ExpandedRows::ExpandedRows(const PvqCode& given, const uint8_t* codes, size_t stride, size_t row_count,
                           InstructionSet set, ThreadPool* pool)
    : blocks(blocks_of(given)),
      last_lanes(given.groups - (blocks - 1) * block_groups),
      quads(quads_of(given)),
      words(given.lattice == Lattice::barnes_wall),
      tag_bits(bits_of_tags(given)),
      pulses(0),
      factors(std::make_shared<GroupFactors>(given)) {
  const PvqCode code = with_numbered_levels(given);
  const PvqPulsesKernel& kernel = pvq_pulses_kernel(code, set);
  const bool all_wide = mostly_wide(code, codes, stride, row_count, kernel);
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
    for (uint32_t start : chunk.starts) starts.push_back(static_cast<uint32_t>(size / 4) + start);
    std::copy(chunk.pulses.begin(), chunk.pulses.end(), pulses.data() + size);
    tags.insert(tags.end(), chunk.tags.begin(), chunk.tags.end());
    forms.insert(forms.end(), chunk.forms.begin(), chunk.forms.end());
    size += chunk.pulses.size();
    std::vector<uint8_t>().swap(chunk.pulses);
  }
  starts.push_back(static_cast<uint32_t>(size / 4));
  starts.shrink_to_fit();
  tags.shrink_to_fit();
  forms.shrink_to_fit();
}

ExpandedRows::ExpandedRows(const PvqCode& code, std::shared_ptr<const GroupFactors> shared_factors, size_t row_count)
    : blocks(blocks_of(code)),
      last_lanes(block_groups),
      quads(quads_of(code)),
      words(false),
      tag_bits(16),
      pulses(row_count * blocks * static_cast<size_t>(quads) * 64),
      tags(row_count * blocks * tag_bytes()),
      factors(std::move(shared_factors)) {
  const size_t row_bytes = blocks * static_cast<size_t>(quads) * 64;
  std::memset(pulses.data(), 128, row_count * row_bytes);
  for (size_t row = 0; row <= row_count; ++row) starts.push_back(static_cast<uint32_t>(row * row_bytes / 4));
}

size_t ExpandedRows::bytes() const {
  return size_t{4} * starts.back() + tags.size() + forms.size() + starts.size() * sizeof(uint32_t) +
         factors->values.size() * sizeof(float);
}

ExpandedReader::ExpandedReader(const ExpandedRows& rows, size_t row)
    : rows_(rows), pulses_(rows.row_pulses(row)), tags_(rows.row_tags(row)), forms_(rows.row_forms(row)) {}

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

// place: of the byte in a vector; overflow: the bits of the quad.
int ExpandedReader::narrow_pulse(size_t quad, size_t place, uint64_t overflow) const {
  const size_t vector_bytes = 4 * rows_.lanes(block_);
  const int pulse = (pulses_[quad / 2 * vector_bytes + place] >> (quad % 2 == 0 ? 0 : 4) & 15) - 8;
  if ((overflow >> place & 1) == 0) return pulse;
  return pulse < 0 ? pulse + 16 : pulse - 16;
}

void ExpandedReader::next(int8_t* pulses, uint32_t* tags) {
  const uint8_t form = forms_ == nullptr ? ExpandedRows::wide : forms_[block_];
  const bool wide = form == ExpandedRows::wide;
  const size_t quads = static_cast<size_t>(rows_.quads), width = 4 * quads, lanes = rows_.lanes(block_);
  read_tags(tags);
  std::memset(pulses, 0, block_groups * width);
  const uint8_t* end = pulses_ + (wide ? quads : quads / 2) * 4 * lanes;
  for (size_t q = 0; q < quads; ++q) {
    uint64_t overflow = 0;
    if (!wide && (form >> q & 1) != 0) {
      std::memcpy(&overflow, end, sizeof(overflow));
      end += sizeof(overflow);
    }
    for (size_t place = 0; place < 4 * lanes; ++place) {
      const size_t lane = place / 4, i = 4 * q + place % 4;
      int pulse;
      if (wide) {
        pulse = pulses_[q * 4 * lanes + place] - 128;
      } else {
        pulse = narrow_pulse(q, place, overflow);
        if (rows_.words)
          pulse = 2 * pulse + static_cast<int>(reed_muller.word[tags[lane] % reed_muller_words] >> i & 1);
      }
      pulses[lane * width + i] = static_cast<int8_t>(pulse);
    }
  }
  pulses_ = end;
  tags_ += rows_.tag_bytes();
  ++block_;
}

}  // namespace pyramidion
