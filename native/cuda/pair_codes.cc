#include "cuda/pair_codes.h"

#include <algorithm>
#include <cstdlib>

#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"
#include "cuda/layout.h"

namespace pyramidion::cuda {
namespace {

// A byte of the table holds 4 k.
constexpr int kMostPulses = 31;

int bits_for(uint64_t count) {
  int bits = 0;
  while (uint64_t{1} << bits < count) ++bits;
  return bits;
}

uint32_t points_of_pair(int k) { return k == 0 ? 1 : static_cast<uint32_t>(4 * k); }

// The number of (k0, k1, k2, k3) among those with the same sum, which ascend lexicographically.
class CompositionNumbers {
 public:
  explicit CompositionNumbers(int pulses) : pulses_(pulses), numbers_((pulses + 1) * (pulses + 1) * (pulses + 1)) {
    uint32_t number = 0;
    for (int a = 0; a <= pulses; ++a) {
      for (int b = 0; a + b <= pulses; ++b) {
        for (int c = 0; a + b + c <= pulses; ++c) {
          numbers_[place(a, b, c)] = number++;
          table_.push_back(points_of_pair(a) | points_of_pair(b) << 8 | points_of_pair(c) << 16 |
                           points_of_pair(pulses - a - b - c) << 24);
        }
      }
    }
  }

  const std::vector<uint32_t>& table() const { return table_; }
  uint32_t number(const int* k) const { return numbers_[place(k[0], k[1], k[2])]; }

 private:
  size_t place(int a, int b, int c) const { return (static_cast<size_t>(a) * (pulses_ + 1) + b) * (pulses_ + 1) + c; }

  int pulses_;
  std::vector<uint32_t> numbers_, table_;
};

uint32_t pair_number(int a, int b, int k) {
  if (b == 0) return a < 0 ? 2 * k : 0;
  return b > 0 ? 2 * k + (a + k) : 2 * k - (a + k);
}

uint64_t pair_code(const PairLayout& layout, const CompositionNumbers& compositions, const int16_t* point,
                   uint64_t level) {
  int k[4];
  uint64_t value = 0, count = 1;
  for (int pair = 0; pair < 4; ++pair) {
    const int first = pair / 2 * 4 + pair % 2, a = point[first], b = point[first + 2];
    k[pair] = std::abs(a) + std::abs(b);
    const uint32_t points = points_of_pair(k[pair]);
    value = value * points + pair_number(a, b, k[pair]);
    count *= points;
  }
  const uint64_t fraction = ((value << layout.fraction_bits) + count - 1) / count;
  return (level << layout.composition_bits | compositions.number(k)) << layout.fraction_bits | fraction;
}

}  // namespace

PairLayout pair_layout(const PvqCode& code) {
  PairLayout layout;
  layout.table = CompositionNumbers(code.pulses).table();
  uint64_t most = 1;
  for (uint32_t points : layout.table) {
    most =
        std::max<uint64_t>(most, uint64_t{points & 255} * (points >> 8 & 255) * (points >> 16 & 255) * (points >> 24));
  }
  layout.fraction_bits = bits_for(most);
  layout.composition_bits = bits_for(layout.table.size());
  layout.level_bits = bits_for(code.levels.size());
  layout.first_level = static_cast<uint32_t>(layout.table.size());
  for (float level : code.levels) layout.table.push_back(bits_of_float(level));
  layout.table.resize((layout.table.size() + 3) / 4 * 4);
  return layout;
}

bool has_pair_codes(const PvqCode& code) {
  return code.lattice == Lattice::integer && code.dimension == 8 && code.pulses <= kMostPulses &&
         pair_layout(code).bits() <= 32;
}

std::vector<uint32_t> pair_quads(const PvqCode& code, const PairLayout& layout, const uint8_t* codes, size_t row_bytes,
                                 size_t rows, ThreadPool& pool) {
  const CompositionNumbers compositions(code.pulses);
  const size_t words = quad_words(code.groups, layout.bits());
  std::vector<uint32_t> result((rows + 3) / 4 * words * 4, 0);
  pool.parallel_for(rows, kRewriteRows, [&](size_t begin, size_t end) {
    std::vector<uint32_t> stream(words);
    std::vector<uint64_t> row_codes(code.groups);
    for (size_t row = begin; row < end; ++row) {
      unpack_codes(codes + row * row_bytes, code.groups, code.bits, row_codes.data());
      for (uint64_t& value : row_codes) {
        int16_t point[8];
        code.points->point_of(value % code.count(), point);
        value = pair_code(layout, compositions, point, value / code.count());
      }
      pack_codes(row_codes.data(), row_codes.size(), layout.bits(), reinterpret_cast<uint8_t*>(stream.data()));
      uint32_t* quad = result.data() + row / 4 * words * 4 + row % 4;
      for (size_t word = 0; word < words; ++word) quad[word * 4] = stream[word];
    }
  });
  return result;
}

PairCodes pair_codes(const PvqCode& code, const PairLayout& layout, const uint32_t* words, const uint32_t* table) {
  PairCodes codes{};
  codes.words = words;
  codes.table = table;
  codes.table_words = static_cast<uint32_t>(layout.table.size());
  codes.first_level = layout.first_level;
  codes.columns = static_cast<uint32_t>(code.columns);
  codes.groups = static_cast<uint32_t>(code.groups);
  codes.quad_words = quad_words(code.groups, layout.bits());
  codes.bits = static_cast<uint32_t>(layout.bits());
  codes.fraction_bits = static_cast<uint32_t>(layout.fraction_bits);
  // Shifted less by two, the numbers are offsets of words in bytes.
  codes.composition_shift = static_cast<uint32_t>(layout.fraction_bits - 2);
  codes.composition_mask = ((1u << layout.composition_bits) - 1) << 2;
  codes.level_shift = codes.composition_shift + static_cast<uint32_t>(layout.composition_bits);
  codes.level_mask = ((1u << layout.level_bits) - 1) << 2;
  return codes;
}

}  // namespace pyramidion::cuda
