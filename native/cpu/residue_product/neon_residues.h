// Reads the blocks of residue rows with NEON: what belongs to groups in one vector, a byte each, pulses in four for
// each quad. What a stream holds for some lanes or bytes only is spread over them by permutations.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/pvq/residue_rows.h"
#include "cpu/residue_product/bit_window.h"
#include "cpu/symbol_factors/neon.h"

namespace pyramidion {
namespace {

template <int Quads>
struct Residues {
  // Magnitudes until their signs are known.
  Bytes points[parts][Quads];
  Symbols symbols;

  Bytes left(size_t p, size_t q) const { return points[p][q]; }
  Bytes right(size_t, size_t, Bytes inputs) const { return inputs; }
  Bytes pulses(size_t p, size_t q) const { return points[p][q]; }
};

// By a byte's bits: in each byte i that has a bit the next power of two, 1 in the first; 0 in others.
struct BitPlaces {
  uint64_t of[256];

  constexpr BitPlaces() : of{} {
    for (unsigned bits = 0; bits < 256; ++bits) {
      uint64_t next = 1;
      for (unsigned i = 0; i < 8; ++i) {
        if ((bits >> i & 1) == 0) continue;
        of[bits] |= next << 8 * i;
        next <<= 1;
      }
    }
  }
};
constexpr BitPlaces bit_places;

// Some of 16 lanes.
struct LaneSubset {
  // The number of lanes of the subset before each of them; 255 in other lanes.
  uint8x16_t rank;
  int count;

  // some: all bits of the lanes or none.
  explicit LaneSubset(uint8x16_t some) {
    const uint8x16_t zero = vdupq_n_u8(0);
    // Less how many there are up to each.
    uint8x16_t sums = some;
    sums = vaddq_u8(sums, vextq_u8(zero, sums, 15));
    sums = vaddq_u8(sums, vextq_u8(zero, sums, 14));
    sums = vaddq_u8(sums, vextq_u8(zero, sums, 12));
    sums = vaddq_u8(sums, vextq_u8(zero, sums, 8));
    rank = vmvnq_u8(vandq_u8(sums, some));
    count = -static_cast<int8_t>(vgetq_lane_u8(sums, 15));
  }
};

template <int Quads>
class ResidueCursor {
 public:
  ResidueCursor(const ResidueRows& rows, size_t row)
      : rows_(rows),
        fields_(rows.row_fields(row)),
        open_(rows.row_open(row)),
        signs_(rows.row_signs(row)),
        rounds_(rows.row_fours(row)) {}

  // The next block, of which the first `lanes` lanes are groups.
  inline __attribute__((always_inline)) void next(size_t lanes, Residues<Quads>& block) {
    const uint8x16_t fours = read_fields(lanes, block);
    read_extra(block);
    for (int round = 0; round < rounds_; ++round) {
      add_fours(LaneSubset(vcgtq_u8(fours, vdupq_n_u8(static_cast<uint8_t>(round)))), block);
    }
    read_signs(block);
    fields_ += rows_.block_bytes;
    __builtin_prefetch(fields_ + 1024);
  }

 private:
  // Returns how many fours the residues of each group lack.
  uint8x16_t read_fields(size_t lanes, Residues<Quads>& block) const {
    uint8x16_t residues[parts][Quads], sums[parts];
    for (size_t p = 0; p < parts; ++p) {
      // At D = 8 the second half of a quad is in the upper half of the bytes.
      const uint8x16_t fields = vld1q_u8(fields_ + 16 * (p % Quads));
      for (size_t q = 0; q < Quads; ++q) {
        residues[p][q] = (fields >> static_cast<uint8_t>(p / Quads * 4 + 2 * q)) & 3;
        sums[p] = q == 0 ? residues[p][q] : vaddq_u8(sums[p], residues[p][q]);
      }
    }
    const uint8x16_t others = vpaddq_u8(vpaddq_u8(sums[0], sums[1]), vpaddq_u8(sums[2], sums[3]));
    // The last of each four.
    const auto upper = [&](size_t p) {
      return vuzp2q_u16(vreinterpretq_u16_u8(residues[p][Quads - 1]), vreinterpretq_u16_u8(residues[p + 1][Quads - 1]));
    };
    block.symbols.of = vuzp2q_u8(vreinterpretq_u8_u16(upper(0)), vreinterpretq_u8_u16(upper(2)));
    const uint8x16_t lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint8x16_t pulses = vandq_u8(vcltq_u8(lane, vdupq_n_u8(static_cast<uint8_t>(lanes))),
                                       vdupq_n_u8(static_cast<uint8_t>(rows_.pulses)));
    const uint8x16_t rest = vsubq_u8(pulses, vsubq_u8(others, block.symbols.of));
    uint8x16_t last[parts];
    repeat_four_times(vandq_u8(rest, vdupq_n_u8(3)), last);
    const uint8x16_t last_bytes = vreinterpretq_u8_u32(vdupq_n_u32(0xff000000));
    for (size_t p = 0; p < parts; ++p) {
      residues[p][Quads - 1] = vbslq_u8(last_bytes, last[p], residues[p][Quads - 1]);
      for (size_t q = 0; q < Quads; ++q) block.points[p][q] = vreinterpretq_s8_u8(residues[p][q]);
    }
    return vshrq_n_u8(rest, 2);
  }

  void read_extra(Residues<Quads>& block) {
    if (rows_.extra_bits == 0) return;
    if (rows_.signs == ResidueRows::Signs::all) {
      for (int bit = 0; bit < rows_.extra_bits; ++bit) {
        uint16_t bits;
        std::memcpy(&bits, fields_ + 24 * Quads + 2 * bit, sizeof(bits));
        add_extra(bytes_of_bits(bits), bit, block);
      }
      return;
    }
    const LaneSubset some(vtstq_u8(block.symbols.of, block.symbols.of));
    for (int bit = 0; bit < rows_.extra_bits; ++bit) {
      add_extra(vqtbl1q_u8(bytes_of_bits(static_cast<uint16_t>(open_.peek())), some.rank), bit, block);
      open_.skip(static_cast<uint64_t>(some.count));
    }
  }

  static uint8x16_t bytes_of_bits(uint16_t bits) {
    const uint8x8_t low = vdup_n_u8(static_cast<uint8_t>(bits)), high = vdup_n_u8(static_cast<uint8_t>(bits >> 8));
    return vtstq_u8(vcombine_u8(low, high), rising_bits());
  }

  static void add_extra(uint8x16_t set, int bit, Residues<Quads>& block) {
    block.symbols.of = vorrq_u8(block.symbols.of, vandq_u8(set, vdupq_n_u8(static_cast<uint8_t>(4 << bit))));
  }

  // 16 places from the next bit on, a byte each.
  uint8x16_t next_places() const {
    if constexpr (Quads == 4) {
      const uint8x16_t bytes = vreinterpretq_u8_u64(vdupq_n_u64(open_.peek_all()));
      return vzip1q_u8(vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8(bytes, 4));
    } else {
      // Eight places are three bytes. In 16 bits each, the two bytes that a place is in.
      const uint8x16_t bytes = vreinterpretq_u8_u64(vdupq_n_u64(open_.peek()));
      const uint8x16_t own = {0, 1, 0, 1, 0, 1, 1, 2, 1, 2, 1, 2, 2, 3, 2, 3};
      const int16x8_t shift = {0, -3, -6, -1, -4, -7, -2, -5};
      const uint16x8_t low = vshlq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(bytes, own)), shift);
      const uint16x8_t high = vshlq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(bytes, own + 3)), shift);
      return vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)), vdupq_n_u8(7));
    }
  }

  // At the next places, to the groups of the subset.
  inline __attribute__((always_inline)) void add_fours(const LaneSubset& lacking, Residues<Quads>& block) {
    const uint8x16_t places = vqtbx1q_u8(vdupq_n_u8(255), next_places(), lacking.rank);
    open_.skip(static_cast<uint64_t>((Quads == 2 ? 3 : 4) * lacking.count));
    uint8x16_t place[parts];
    repeat_four_times(places, place);
    for (size_t p = 0; p < parts; ++p) {
      for (size_t q = 0; q < Quads; ++q) {
        const uint32x4_t own = vdupq_n_u32(0x03020100 + static_cast<uint32_t>(q * 0x04040404));
        const int8x16_t here = vreinterpretq_s8_u8(vceqq_u8(place[p], vreinterpretq_u8_u32(own)));
        block.points[p][q] = vmlsq_s8(block.points[p][q], here, vdupq_n_s8(4));
      }
    }
  }

  void read_signs(Residues<Quads>& block) {
    if (rows_.signs == ResidueRows::Signs::all) {
      for (size_t q = 0; q < Quads; ++q) {
        uint8x16_t negative[parts];
        repeat_bits(vld1_u8(fields_ + 16 * Quads + 8 * q), negative);
        for (size_t p = 0; p < parts; ++p) block.points[p][q] = turned(block.points[p][q], negative[p]);
      }
    } else {
      for (size_t q = 0; q < Quads; ++q) read_signs_of_quad(q, block);
    }
  }

  // Eight bytes of a quad at a time, for which a table spreads the next bits of the stream.
  inline __attribute__((always_inline)) void read_signs_of_quad(size_t q, Residues<Quads>& block) {
    uint8x16_t some[parts];
    for (size_t p = 0; p < parts; ++p) {
      const uint8x16_t magnitudes = vreinterpretq_u8_s8(block.points[p][q]);
      some[p] = vandq_u8(vtstq_u8(magnitudes, magnitudes), rising_bits());
    }
    // A bit a byte, then in byte i the number of bits before those of the i-th eight, negative.
    const uint8x16_t halves = vpaddq_u8(vpaddq_u8(some[0], some[1]), vpaddq_u8(some[2], some[3]));
    const uint8x8_t masks = vget_low_u8(vpaddq_u8(halves, halves));
    const uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(masks), 0);
    const uint64_t counts = vget_lane_u64(vreinterpret_u64_u8(vcnt_u8(masks)), 0), ends = counts * 0x0101010101010101;
    uint8x16_t starts[parts];
    repeat_eight_times(vreinterpret_u8_s8(vneg_s8(vcreate_s8(ends - counts))), starts);
    const uint64x2_t bits = vdupq_n_u64(signs_.peek_all());
    signs_.skip(ends >> 56);
    for (size_t p = 0; p < parts; ++p) {
      // A shift looks at the lowest byte of a lane only.
      const uint8x16_t next = vreinterpretq_u8_u64(vshlq_u64(bits, vreinterpretq_s64_u8(starts[p])));
      const uint8x16_t own = vreinterpretq_u8_u64(
          uint64x2_t{bit_places.of[mask >> 16 * p & 255], bit_places.of[mask >> (16 * p + 8) & 255]});
      const uint8x16_t eights = vqtbl1q_u8(next, vcombine_u8(vdup_n_u8(0), vdup_n_u8(8)));
      block.points[p][q] = turned(block.points[p][q], vtstq_u8(eights, own));
    }
  }

  const ResidueRows& rows_;
  const uint8_t* fields_;
  BitWindow open_, signs_;
  const int rounds_;
};

}  // namespace
}  // namespace pyramidion
