// int8 tokens in the order in which a matrix unit multiplies them: 16 tokens (a tile) side by side, four coordinates of
// each at a time.
//
// A tile of tokens holds, lane by lane and block by block (core/pvq/integer_tokens.h), the quads of that group, each 16
// tokens x 4 bytes. Tokens beyond the last are zero.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyramidion {

constexpr size_t tile_tokens = 16;

static inline size_t token_tiles(size_t tokens) { return (tokens + tile_tokens - 1) / tile_tokens; }

// Up to 16 tokens, value_stride bytes apart, of blocks x quads x 16 x 4 bytes, into a tile of 16 times as many.
void pack_token_tile(const int8_t* values, size_t value_stride, size_t tokens, size_t blocks, size_t quads,
                     int8_t* tile);

}  // namespace pyramidion
