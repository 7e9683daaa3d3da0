#include "core/pvq/patched_rows.h"

#include <algorithm>

#include "core/aligned_buffer.h"
#include "cpu/pvq_decode/dispatch.h"
#include "cpu/pvq_pulses/dispatch.h"

namespace pyramidion {
namespace {

constexpr size_t kGrainRows = 32;
constexpr int kMostPulses = PatchedRows::offset - 1;

bool fits_three_bits(int pulse) { return pulse >= -4 && pulse < 4; }

// The blocks of a span as they are packed, and what they need to be patched.
class SpanPacker {
 public:
  explicit SpanPacker(std::vector<uint8_t>& patches) : patches_(patches) {}

  // pulses, levels: of a block as PvqPulsesKernel makes them.
  void add(const uint8_t* pulses, const uint16_t* levels, size_t lanes, uint8_t* fields) {
    int pulse[PatchedRows::quads * 64] = {};
    uint64_t symbols = 0;
    for (size_t lane = 0; lane < lanes; ++lane) {
      const int sign = read_group(pulses, lane, pulse);
      const uint64_t symbol = levels[lane] | (sign < 0 ? PatchedRows::negated : 0);
      symbols |= symbol << PatchedRows::symbol_place(lane);
    }
    std::fill_n(fields, PatchedRows::block_bytes, uint8_t{0});
    std::memcpy(fields + PatchedRows::symbols_at, &symbols, sizeof(symbols));
    for (size_t place = 0; place < PatchedRows::quads * 64; ++place) {
      const size_t q = place / 64, i = place % 64;
      const int v = ((pulse[place] + 4) & 7) - 4;
      fields[i] = static_cast<uint8_t>(fields[i] | (v & 3) << 2 * q);
      uint8_t& plane = fields[PatchedRows::plane_at + place / 8];
      plane = static_cast<uint8_t>(plane | (v >= 0 ? 1 : 0) << place % 8);
      add_patch(base_ + place, pulse[place], v);
    }
    base_ += PatchedRows::quads * 64;
  }

  void end() {
    for (size_t count : {gaps_.size(), wide_.size() / 3}) {
      patches_.push_back(static_cast<uint8_t>(count));
      patches_.push_back(static_cast<uint8_t>(count >> 8));
    }
    patches_.insert(patches_.end(), gaps_.begin(), gaps_.end());
    patches_.insert(patches_.end(), wide_.begin(), wide_.end());
    gaps_.clear();
    wide_.clear();
    base_ = last_ = 0;
  }

 private:
  // Reads a group, negated where the sign it returns is -1.
  static int read_group(const uint8_t* pulses, size_t lane, int* to) {
    int toggles = 0;
    for (size_t i = 0; i < 4 * PatchedRows::quads; ++i) {
      const size_t place = i / 4 * 64 + lane * 4 + i % 4;
      to[place] = pulses[place] - 128;
      toggles += (fits_three_bits(-to[place]) ? 1 : 0) - (fits_three_bits(to[place]) ? 1 : 0);
    }
    if (toggles <= 0) return 1;
    for (size_t i = 0; i < 4 * PatchedRows::quads; ++i) {
      int& pulse = to[i / 4 * 64 + lane * 4 + i % 4];
      pulse = -pulse;
    }
    return -1;
  }

  void add_patch(size_t place, int pulse, int v) {
    if (pulse == v) return;
    if (pulse >= -8 && pulse < 8) {
      for (; place - last_ > 255; last_ += 255) {
        gaps_.push_back(255);
        gaps_.push_back(0);
      }
      gaps_.push_back(static_cast<uint8_t>(place - last_));
      last_ = place;
    } else {
      wide_.push_back(static_cast<uint8_t>(place));
      wide_.push_back(static_cast<uint8_t>(place >> 8));
      wide_.push_back(static_cast<uint8_t>(pulse + PatchedRows::offset));
    }
  }

  std::vector<uint8_t>& patches_;
  std::vector<uint8_t> gaps_, wide_;
  size_t base_ = 0, last_ = 0;
};

}  // namespace

bool PatchedRows::supports(const PvqCode& code) {
  return code.lattice == Lattice::integer && code.dimension == 16 && code.pulses <= kMostPulses &&
         code.levels.size() <= negated;
}

PatchedRows::PatchedRows(const PvqCode& given, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set,
                         ThreadPool* pool)
    : groups(given.groups), blocks(blocks_of(given)), fields(rows * blocks * block_bytes) {
  const PvqCode code = with_numbered_levels(given);
  const PvqPulsesKernel& kernel = pvq_pulses_kernel(code, set);
  std::vector<std::vector<uint8_t>> packed(rows);
  const auto transcode = [&](size_t first, size_t last) {
    AlignedBuffer<uint8_t> pulses(blocks * quads * 64);
    std::vector<uint16_t> levels(blocks * block_groups);
    for (size_t row = first; row < last; ++row) {
      kernel.decode(code, codes + row * stride, pulses.data(), levels.data());
      SpanPacker packer(packed[row]);
      for (size_t b = 0; b < blocks; ++b) {
        packer.add(pulses.data() + b * quads * 64, levels.data() + b * block_groups, lanes(b),
                   fields.data() + (row * blocks + b) * block_bytes);
        if (b + 1 == blocks || (b + 1) % span_blocks == 0) packer.end();
      }
    }
  };
  if (pool != nullptr) {
    pool->parallel_for(rows, kGrainRows, transcode);
  } else {
    transcode(0, rows);
  }
  size_t size = 0;
  for (const std::vector<uint8_t>& row : packed) size += row.size();
  patches.reserve(size);
  starts.reserve(rows);
  for (std::vector<uint8_t>& row : packed) {
    starts.push_back(static_cast<uint32_t>(patches.size()));
    patches.insert(patches.end(), row.begin(), row.end());
    std::vector<uint8_t>().swap(row);
  }
}

std::vector<float> PatchedRows::symbol_levels(const std::vector<float>& levels) const {
  std::vector<float> of_symbols(2 * negated);
  for (size_t level = 0; level < levels.size(); ++level) {
    of_symbols[level] = levels[level];
    of_symbols[negated + level] = -levels[level];
  }
  return of_symbols;
}

}  // namespace pyramidion
