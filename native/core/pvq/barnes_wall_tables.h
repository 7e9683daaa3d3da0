// What decoding of one Barnes-Wall pyramid looks up.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/pvq/barnes_wall_index.h"
#include "core/pvq/pyramid_tables.h"

namespace pyramidion {

struct BarnesWallTables {
  // halved: of P(16,K/2), whose nodes of dimension 8 number the even coordinates.
  BarnesWallTables(BarnesWallIndex index, std::shared_ptr<const PyramidTables> halved);

  BarnesWallIndex index;
  std::shared_ptr<const PyramidTables> halved;

  // A power of two > T; index.offsets() up to it, 2^64 - 1 beyond T.
  int width = 1;
  std::vector<uint64_t> offsets;
  // Coordinates of each word with eight ones (w = its number - 2): the odd ones, then the even ones, each in ascending
  // order.
  std::array<std::array<uint8_t, 16>, 30> places;
};

}  // namespace pyramidion
