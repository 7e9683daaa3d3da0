#include "core/pvq/residue_rows.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/aligned_buffer.h"
#include "core/pvq/bit_stream.h"
#include "core/pvq/integer_tokens.h"
#include "cpu/pvq_decode/dispatch.h"
#include "cpu/pvq_pulses/dispatch.h"

namespace pyramidion {
namespace {

constexpr size_t kGrainRows = 32;
// What a kernel may read behind the end of the stream: two words from the one that the last bit is in.
constexpr size_t kReadAhead = 16;
// More would be places for most pulses, and sums that a byte does not hold.
constexpr int kMostPulsesPerCoordinate = 4;

// Bits of a level symbol beyond two: symbol 0, and three times as many as they tell apart.
int extra_bits_of(size_t levels) {
  int bits = 0;
  while (1 + (size_t{3} << bits) < levels) ++bits;
  return bits;
}

// Symbols as the stream has them: s + 4 extra.
size_t symbol_of_rank(size_t rank, int extra_bits) {
  if (rank == 0) return 0;
  return 1 + ((rank - 1) >> extra_bits) + 4 * ((rank - 1) & ((size_t{1} << extra_bits) - 1));
}

class BitWriter {
 public:
  void put(uint32_t value, int bits) {
    pending_ |= static_cast<uint64_t>(value) << held_;
    for (held_ += bits; held_ >= 8; held_ -= 8, pending_ >>= 8) bytes.push_back(static_cast<uint8_t>(pending_));
  }
  void end() {
    if (held_ > 0) put(0, 8 - held_);
  }

  std::vector<uint8_t> bytes;

 private:
  uint64_t pending_ = 0;
  int held_ = 0;
};

struct RowStreams {
  BitWriter open, signs;
  // The most that a group of the row lacks.
  size_t fours = 0;
};

// Byte and lowest bit of the residue of byte i of quad q, in the fields of a block.
struct Field {
  size_t byte;
  unsigned bit;
};

Field field_of(size_t quads, size_t q, size_t i) {
  if (quads == 4) return {i, static_cast<unsigned>(2 * q)};
  return {i % 32, static_cast<unsigned>(2 * q + i / 32 * 4)};
}

// Packs a block of pulses as PvqPulsesKernel makes them.
class BlockPacker {
 public:
  BlockPacker(const ResidueRows& rows, const uint16_t (&symbols)[ResidueRows::max_symbols]) : rows_(rows) {
    std::copy_n(symbols, ResidueRows::max_symbols, symbols_);
  }

  void pack(const uint8_t* pulses, const uint16_t* levels, size_t lanes, uint8_t* fields, RowStreams& streams) const {
    const size_t quads = static_cast<size_t>(rows_.quads), last = quads - 1;
    std::fill_n(fields, rows_.block_bytes, uint8_t{0});
    const auto pulse = [&](size_t q, size_t i) { return static_cast<int>(pulses[q * 64 + i]) - 128; };
    const auto put_field = [&](size_t q, size_t i, unsigned value) {
      const Field field = field_of(quads, q, i);
      fields[field.byte] = static_cast<uint8_t>(fields[field.byte] | value << field.bit);
    };
    for (size_t lane = 0; lane < lanes; ++lane) put_field(last, 4 * lane + 3, symbols_[levels[lane]] & 3u);
    for (size_t q = 0; q < quads; ++q) {
      for (size_t i = 0; i < 4 * lanes; ++i) {
        if (q < last || i % 4 < 3) put_field(q, i, static_cast<unsigned>(std::abs(pulse(q, i))) & 3u);
        if (rows_.signs == ResidueRows::Signs::all && pulse(q, i) < 0) {
          uint8_t& byte = fields[16 * quads + 8 * q + i / 8];
          byte = static_cast<uint8_t>(byte | 1 << i % 8);
        }
      }
    }
    for (int bit = 0; bit < rows_.extra_bits; ++bit) {
      for (size_t lane = 0; lane < lanes; ++lane) {
        const unsigned symbol = symbols_[levels[lane]], next = symbol >> (2 + bit) & 1;
        if (rows_.signs == ResidueRows::Signs::all) {
          uint8_t& byte = fields[24 * quads + 2 * static_cast<size_t>(bit) + lane / 8];
          byte = static_cast<uint8_t>(byte | next << lane % 8);
        } else if (symbol != 0) {
          streams.open.put(next, 1);
        }
      }
    }
    streams.fours = std::max(streams.fours, put_places(pulses, lanes, streams.open));
    if (rows_.signs == ResidueRows::Signs::all) return;
    for (size_t q = 0; q < quads; ++q) {
      for (size_t i = 0; i < 4 * lanes; ++i) {
        if (pulse(q, i) != 0) streams.signs.put(pulse(q, i) < 0 ? 1 : 0, 1);
      }
    }
  }

 private:
  size_t put_places(const uint8_t* pulses, size_t lanes, BitWriter& stream) const {
    std::vector<uint32_t> places[block_groups];
    size_t most = 0;
    for (size_t lane = 0; lane < lanes; ++lane) {
      for (uint32_t i = 0; i < 4 * static_cast<uint32_t>(rows_.quads); ++i) {
        const int pulse = static_cast<int>(pulses[i / 4 * 64 + lane * 4 + i % 4]) - 128;
        places[lane].insert(places[lane].end(), static_cast<size_t>(std::abs(pulse)) / 4, i);
      }
      most = std::max(most, places[lane].size());
    }
    for (size_t j = 0; j < most; ++j) {
      for (size_t lane = 0; lane < lanes; ++lane) {
        if (j < places[lane].size()) stream.put(places[lane][j], rows_.place_bits);
      }
    }
    return most;
  }

  const ResidueRows& rows_;
  uint16_t symbols_[ResidueRows::max_symbols];
};

}  // namespace

bool ResidueRows::supports(const PvqCode& code) {
  return code.lattice == Lattice::integer && (code.dimension == 8 || code.dimension == 16) &&
         code.pulses <= kMostPulsesPerCoordinate * code.dimension && 1 + 3 * 4 >= code.levels.size();
}

ResidueRows::ResidueRows(const PvqCode& given, const uint8_t* codes, size_t stride, size_t rows, Signs kept_signs,
                         InstructionSet set, ThreadPool* pool)
    : signs(kept_signs),
      groups(given.groups),
      blocks(blocks_of(given)),
      quads(quads_of(given)),
      pulses(given.pulses),
      place_bits(given.dimension == 8 ? 3 : 4),
      extra_bits(extra_bits_of(given.levels.size())),
      block_bytes(static_cast<size_t>(signs == Signs::all ? 24 * quads + 2 * extra_bits : 16 * quads)),
      fields(rows * blocks * block_bytes),
      level_of{} {
  uint16_t symbols[max_symbols] = {};
  const size_t levels = given.levels.size(), middle = levels / 2;
  for (size_t rank = 0; rank < levels; ++rank) {
    const size_t level = rank == 0 ? middle : rank <= middle ? rank - 1 : rank;
    symbols[level] = static_cast<uint16_t>(symbol_of_rank(rank, extra_bits));
    level_of[symbols[level]] = static_cast<uint16_t>(level);
  }
  const PvqCode code = with_numbered_levels(given);
  const PvqPulsesKernel& kernel = pvq_pulses_kernel(code, set);
  const BlockPacker packer(*this, symbols);
  std::vector<RowStreams> packed(rows);
  const auto transcode = [&](size_t first, size_t last) {
    const size_t width = static_cast<size_t>(quads) * 64;
    AlignedBuffer<uint8_t> row_pulses(blocks * width);
    std::vector<uint16_t> row_levels(blocks * block_groups);
    for (size_t row = first; row < last; ++row) {
      kernel.decode(code, codes + row * stride, row_pulses.data(), row_levels.data());
      for (size_t b = 0; b < blocks; ++b) {
        packer.pack(row_pulses.data() + b * width, row_levels.data() + b * block_groups, lanes(b),
                    fields.data() + (row * blocks + b) * block_bytes, packed[row]);
      }
      packed[row].open.end();
      packed[row].signs.end();
    }
  };
  if (pool != nullptr) {
    pool->parallel_for(rows, kGrainRows, transcode);
  } else {
    transcode(0, rows);
  }
  size_t size = kReadAhead;
  for (const RowStreams& row : packed) size += 4 + row.open.bytes.size() + row.signs.bytes.size();
  streams.reserve(size);
  starts.reserve(rows);
  for (RowStreams& row : packed) {
    starts.push_back(static_cast<uint32_t>(streams.size()));
    const size_t head = row.open.bytes.size() | row.fours << 24;
    for (unsigned byte = 0; byte < 4; ++byte) streams.push_back(static_cast<uint8_t>(head >> 8 * byte));
    for (BitWriter* part : {&row.open, &row.signs}) {
      streams.insert(streams.end(), part->bytes.begin(), part->bytes.end());
      std::vector<uint8_t>().swap(part->bytes);
    }
  }
  streams.resize(size);
}

std::vector<float> ResidueRows::symbol_levels(const std::vector<float>& levels) const {
  std::vector<float> of_symbols(size_t{4} << extra_bits);
  for (size_t symbol = 0; symbol < of_symbols.size(); ++symbol) of_symbols[symbol] = levels[level_of[symbol]];
  return of_symbols;
}

uint32_t ResidueReader::Stream::read(int bits) {
  const auto value = static_cast<uint32_t>(read_code(bytes, position, bits));
  position += static_cast<size_t>(bits);
  return value;
}

void ResidueReader::next(int8_t* pulses, uint8_t* symbols) {
  const size_t quads = static_cast<size_t>(rows_.quads), width = 4 * quads, lanes = rows_.lanes(block_);
  std::memset(pulses, 0, block_groups * width);
  std::memset(symbols, 0, block_groups);
  int fours[block_groups] = {};
  for (size_t lane = 0; lane < lanes; ++lane) {
    int rest = rows_.pulses;
    for (size_t i = 0; i < width; ++i) {
      const Field field = field_of(quads, i / 4, lane * 4 + i % 4);
      const int value = fields_[field.byte] >> field.bit & 3;
      if (i + 1 == width) {
        symbols[lane] = static_cast<uint8_t>(value);
        pulses[lane * width + i] = static_cast<int8_t>(rest & 3);
        fours[lane] = rest >> 2;
      } else {
        pulses[lane * width + i] = static_cast<int8_t>(value);
        rest -= value;
      }
    }
  }
  for (int bit = 0; bit < rows_.extra_bits; ++bit) {
    for (size_t lane = 0; lane < lanes; ++lane) {
      uint32_t next = 0;
      if (rows_.signs == ResidueRows::Signs::all) {
        next = fields_[24 * quads + 2 * static_cast<size_t>(bit) + lane / 8] >> lane % 8 & 1;
      } else if ((symbols[lane] & 3) != 0) {
        next = open_.read(1);
      }
      symbols[lane] = static_cast<uint8_t>(symbols[lane] | next << (2 + bit));
    }
  }
  for (bool more = true; more;) {
    more = false;
    for (size_t lane = 0; lane < lanes; ++lane) {
      if (fours[lane] == 0) continue;
      int8_t& pulse = pulses[lane * width + open_.read(rows_.place_bits)];
      pulse = static_cast<int8_t>(pulse + 4);
      more |= --fours[lane] > 0;
    }
  }
  for (size_t q = 0; q < quads; ++q) {
    for (size_t i = 0; i < 4 * lanes; ++i) {
      int8_t& pulse = pulses[i / 4 * width + 4 * q + i % 4];
      const bool all = rows_.signs == ResidueRows::Signs::all;
      if (!all && pulse == 0) continue;
      const bool negative = all ? (fields_[16 * quads + 8 * q + i / 8] >> i % 8 & 1) != 0 : signs_.read(1) != 0;
      if (negative) pulse = static_cast<int8_t>(-pulse);
    }
  }
  fields_ += rows_.block_bytes;
  ++block_;
}

}  // namespace pyramidion
