#include "core/pvq/token_tiles.h"

#include <cstring>

#include "core/pvq/integer_tokens.h"

namespace pyramidion {

void pack_token_tile(const int8_t* values, size_t value_stride, size_t tokens, size_t blocks, size_t quads,
                     int8_t* tile) {
  std::memset(tile, 0, tile_tokens * blocks * quads * block_groups * 4);
  for (size_t t = 0; t < tokens; ++t, values += value_stride) {
    const int8_t* from = values;
    for (size_t b = 0; b < blocks; ++b) {
      for (size_t q = 0; q < quads; ++q) {
        for (size_t lane = 0; lane < block_groups; ++lane, from += 4) {
          std::memcpy(tile + (((lane * blocks + b) * quads + q) * tile_tokens + t) * 4, from, 4);
        }
      }
    }
  }
}

}  // namespace pyramidion
