#include "core/pvq/barnes_wall_tables.h"

#include <limits>

#include "core/pvq/reed_muller.h"

namespace pyramidion {

BarnesWallTables::BarnesWallTables(BarnesWallIndex points, std::shared_ptr<const PyramidTables> halved_tables)
    : index(std::move(points)), halved(std::move(halved_tables)), offsets(index.offsets()) {
  while (width <= index.spare()) width *= 2;
  offsets.resize(width, std::numeric_limits<uint64_t>::max());
  for (size_t w = 0; w < places.size(); ++w) {
    const uint32_t word = reed_muller.word[w + 2];
    uint8_t odds = 0, evens = 8;
    for (uint8_t i = 0; i < 16; ++i) places[w][(word >> i & 1) != 0 ? odds++ : evens++] = i;
  }
}

}  // namespace pyramidion
