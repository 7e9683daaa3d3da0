#include "core/pvq/bit_stream.h"

#include <doctest/doctest.h>

#include "random.h"

using namespace pyramidion;

TEST_CASE("codes of every width are packed least significant bit first and come back") {
  const uint64_t seed = 5;
  INFO("seed ", seed);
  Random random(seed);
  for (int bits = 1; bits <= 64; ++bits) {
    for (size_t count : {0, 1, 2, 7, 8, 9, 33}) {
      std::vector<uint64_t> codes(count), back(count);
      for (uint64_t& code : codes) code = random.word() >> (64 - bits);
      // Exactly as long as needed, so that the address sanitizer sees a byte too many.
      std::vector<uint8_t> bytes(packed_bytes(count, bits));
      pack_codes(codes.data(), count, bits, bytes.data());
      for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        const bool expected = bit < count * bits && (codes[bit / bits] >> (bit % bits) & 1) != 0;
        REQUIRE((bytes[bit / 8] >> (bit % 8) & 1) == (expected ? 1 : 0));
      }
      unpack_codes(bytes.data(), count, bits, back.data());
      REQUIRE(back == codes);
    }
  }
}
