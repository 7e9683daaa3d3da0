// What decoding of one Barnes-Wall pyramid looks up (core/pvq/barnes_wall_index.h).
#pragma once

#include <cstdint>
#include <memory>

#include "core/pvq/barnes_wall_index.h"
#include "core/pvq/pyramid_tables.h"
#include "core/pvq/tree_level.h"

namespace pyramidion {

struct BarnesWallTables {
  // halved: of P(16,K/2), whose nodes of dimension 8 number the even coordinates. odd_quads: of odd magnitudes.
  BarnesWallTables(BarnesWallIndex index, std::shared_ptr<const PyramidTables> halved,
                   std::shared_ptr<const QuadTable> odd_quads);

  BarnesWallIndex index;
  std::shared_ptr<const PyramidTables> halved;
  std::shared_ptr<const QuadTable> odd_quads;

  // Words with eight ones: `inner` of K is that of a node with T pulses, t of them in the odd half.
  TreeLevel eights;
  // The halves of such words, for t and T - t up to 31: compositions in 8 parts, and P(8,k).
  TreeLevel odd, even;
  // Word 1, where K >= 16: compositions of (K-16)/2 in 16 parts.
  TreeLevel ones;

  // For each word with eight ones (w = its number - 2), where each coordinate is found among the eight odd ones and the
  // eight even ones behind them, both in ascending order.
  alignas(16) uint8_t sources[30][16];
};

}  // namespace pyramidion
