#include "core/pvq/split_rows.h"

#include <algorithm>

#include "core/aligned_buffer.h"
#include "core/pvq/bit_stream.h"
#include "core/pvq/integer_tokens.h"
#include "cpu/pvq_decode/dispatch.h"

namespace pyramidion {
namespace {

constexpr size_t kGrainRows = 32;

// Bits of a number below `count`.
int bits_below(size_t count) {
  int bits = 0;
  while ((size_t{1} << bits) < count) ++bits;
  return bits;
}

uint64_t quad_points(const PvqCode& code, int k) { return code.tables->quads->counts[k]; }

// Compositions of K in two or four parts, ascending.
std::vector<uint32_t> compositions_of(int pulses, int parts) {
  std::vector<uint32_t> all;
  for (uint32_t k = 0; k <= static_cast<uint32_t>(pulses); ++k) {
    const uint32_t rest = static_cast<uint32_t>(pulses) - k;
    if (parts == 1) {
      if (rest == 0) all.push_back(k);
      continue;
    }
    for (uint32_t others : compositions_of(static_cast<int>(rest), parts - 1)) all.push_back(others << 8 | k);
  }
  std::sort(all.begin(), all.end());
  return all;
}

// The most bits that a composition's indices take.
int most_index_bits(const PvqCode& code, const std::vector<uint32_t>& compositions) {
  int most = 0;
  for (uint32_t parts : compositions) {
    int bits = 0;
    for (int q = 0; q < code.dimension / 4; ++q)
      bits += bits_below(quad_points(code, static_cast<int>(parts >> 8 * q & 255)));
    most = std::max(most, bits);
  }
  return most;
}

int bits_of(const PvqCode& code, const std::vector<uint32_t>& compositions) {
  return bits_below(compositions.size()) + bits_below(code.levels.size()) + most_index_bits(code, compositions);
}

}  // namespace

bool SplitRows::supports(const PvqCode& code) {
  if (code.lattice != Lattice::integer || (code.dimension != 8 && code.dimension != 16)) return false;
  if (code.pulses > QuadTable::max_pulses || code.levels.size() > size_t{1} << 16) return false;
  return bits_of(code, compositions_of(code.pulses, code.dimension / 4)) <= 64;
}

SplitRows::SplitRows(const PvqCode& given, const uint8_t* codes, size_t stride, size_t rows, InstructionSet set,
                     ThreadPool* pool)
    : quads(given.tables->quads),
      groups(given.groups),
      quad_count(quads_of(given)),
      compositions(compositions_of(given.pulses, quad_count)),
      composition_bits(bits_below(compositions.size())),
      level_bits(bits_below(given.levels.size())),
      bits(bits_of(given, compositions)),
      row_bytes(packed_bytes(groups, bits)),
      data(rows * row_bytes + pvq_read_ahead) {
  std::vector<PyramidCounts> counts;
  for (int k = 0; k <= QuadTable::max_pulses; ++k) {
    index_bits[k] = static_cast<uint32_t>(bits_below(quad_points(given, k)));
    counts.emplace_back(4, k);
  }
  const PvqCode code = with_numbered_levels(given);
  const PvqPulsesKernel& kernel = pvq_pulses_kernel(code, set);
  const auto transcode = [&](size_t first, size_t last) {
    AlignedBuffer<uint8_t> pulses(blocks_of(code) * static_cast<size_t>(quad_count) * 64);
    std::vector<uint16_t> levels(blocks_of(code) * block_groups);
    for (size_t row = first; row < last; ++row) {
      kernel.decode(code, codes + row * stride, pulses.data(), levels.data());
      pack_row(pulses.data(), levels.data(), counts, data.data() + row * row_bytes);
    }
  };
  if (pool != nullptr) {
    pool->parallel_for(rows, kGrainRows, transcode);
  } else {
    transcode(0, rows);
  }
}

void SplitRows::pack_row(const uint8_t* pulses, const uint16_t* levels, const std::vector<PyramidCounts>& counts,
                         uint8_t* row) const {
  std::vector<uint64_t> packed(groups);
  for (size_t g = 0; g < groups; ++g) {
    const uint8_t* lane =
        pulses + (g / block_groups * static_cast<size_t>(quad_count) * block_groups + g % block_groups) * 4;
    uint32_t parts = 0;
    uint64_t indices = 0;
    int held = 0;
    for (int q = 0; q < quad_count; ++q) {
      int16_t point[4];
      uint32_t k = 0;
      for (int i = 0; i < 4; ++i) {
        point[i] = static_cast<int16_t>(lane[q * 64 + i] - 128);
        k += static_cast<uint32_t>(point[i] < 0 ? -point[i] : point[i]);
      }
      parts |= k << 8 * q;
      indices |= counts[k].index_of(point) << held;
      held += static_cast<int>(index_bits[k]);
    }
    const auto composition = std::lower_bound(compositions.begin(), compositions.end(), parts) - compositions.begin();
    packed[g] = static_cast<uint64_t>(composition) | static_cast<uint64_t>(levels[g]) << composition_bits |
                indices << (composition_bits + level_bits);
  }
  pack_codes(packed.data(), groups, bits, row);
}

}  // namespace pyramidion
