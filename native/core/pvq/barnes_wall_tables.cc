#include "core/pvq/barnes_wall_tables.h"

#include <algorithm>

#include "core/pvq/reed_muller.h"

namespace pyramidion {

BarnesWallTables::BarnesWallTables(BarnesWallIndex points, std::shared_ptr<const PyramidTables> halved_tables,
                                   std::shared_ptr<const QuadTable> odd_quad_table)
    : index(std::move(points)), halved(std::move(halved_tables)), odd_quads(std::move(odd_quad_table)) {
  using Nodes = TreeLevel::Nodes;
  const CompositionCounts& compositions = index.compositions();
  const PyramidCounts& evens = halved->counts;
  const int spare = index.spare(), most = std::min(spare, QuadTable::max_pulses);
  eights = TreeLevel(
      Nodes::root, spare, [&](int, int t) { return index.offsets()[t]; }, [&](int k) { return evens.count(8, k); });
  eights.keep_leading_bits(index.zeros_first() / (reed_muller_words - 2) >> 7);
  odd = TreeLevel(
      Nodes::all, most, [&](int k, int j) { return compositions.offset(8, k, j); },
      [&](int k) { return compositions.count(4, k); });
  odd.keep_leading_bits(compositions.count(8, most));
  even = TreeLevel(
      Nodes::all, most, [&](int k, int j) { return evens.offset(8, k, j); }, [&](int k) { return evens.count(4, k); });
  even.keep_leading_bits(evens.count(8, most));
  if (spare >= 4) {
    ones = TreeLevel(
        Nodes::root, spare - 4, [&](int k, int j) { return compositions.offset(16, k, j); },
        [&](int k) { return compositions.count(8, k); });
    ones.keep_leading_bits(compositions.count(16, spare - 4));
  }
  for (int w = 0; w < reed_muller_words - 2; ++w) {
    const uint32_t word = reed_muller.word[w + 2];
    uint8_t odds = 0, evens_seen = 8;
    for (int i = 0; i < 16; ++i) sources[w][i] = (word >> i & 1) != 0 ? odds++ : evens_seen++;
  }
}

}  // namespace pyramidion
