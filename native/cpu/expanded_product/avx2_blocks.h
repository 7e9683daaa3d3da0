// Reads the blocks of expanded rows with AVX2, eight groups at once, one in each lane, and multiplies them with tokens:
// lanes 0 to 7 of all blocks of a row, then lanes 8 to 15.
//
// vpmaddubsw multiplies unsigned with signed bytes and adds pairs in 16 bits. With u = p + c (c = 8, twice that for
// half pulses and again for overflows), a few quads add up within them: 2 (2 c - 1) 127 each, below 2^15 for eight
// quads with c = 8, four with c = 16 and two with c = 32. AVX-VNNI's vpdpbusd adds four products in 32 bits at once. As
// for AVX-512,
//   <p, q> = <u, q> - c sum q,   sum p^2 = <u, u - 2c> + D c^2.
// Wide pulses are multiplied as <|p|, sign(p) q>, a quad at a time.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "core/pvq/expanded_rows.h"
#include "cpu/expanded_product/word_bits.h"

namespace pyramidion {
namespace {

constexpr size_t half_groups = block_groups / 2;

inline __m256i load(const void* bytes) { return _mm256_loadu_si256(static_cast<const __m256i*>(bytes)); }

// Pairs of 16 bits into 32.
inline __m256i widen(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

// Half a block: pulses with an offset where it is narrow, as they are where it is wide; and the sums of their squares.
template <int Quads>
struct Pulses {
  __m256i quads[Quads], square;
};

// The lanes of half a block that are kept; a vector of the whole block has `stride` bytes.
template <bool Whole>
struct Lanes {
  size_t stride;
  __m256i mask;

  Lanes(size_t count, size_t half)
      : stride(4 * count),
        mask(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count) - static_cast<int>(half * half_groups)),
                                _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0))) {}

  __m256i load_pulses(const uint8_t* pulses) const {
    return Whole ? load(pulses) : _mm256_maskload_epi32(reinterpret_cast<const int*>(pulses), mask);
  }
};

template <int Quads>
inline void square_offset(Pulses<Quads>& block, int offset) {
  __m256i sum = _mm256_setzero_si256();
  for (const __m256i& u : block.quads) {
    const __m256i shifted = _mm256_sub_epi8(u, _mm256_set1_epi8(static_cast<char>(2 * offset)));
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(u, shifted));
  }
  block.square = _mm256_add_epi32(widen(sum), _mm256_set1_epi32(4 * Quads * offset * offset));
}

template <int Quads, class Lanes>
inline void read_nibbles(const uint8_t* pulses, Lanes lanes, Pulses<Quads>& block) {
  const __m256i low = _mm256_set1_epi8(15);
  for (int q = 0; q + 1 < Quads; q += 2) {
    const __m256i both = lanes.load_pulses(pulses + static_cast<size_t>(q) / 2 * lanes.stride);
    block.quads[q] = _mm256_and_si256(both, low);
    block.quads[q + 1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
  }
}

// Half pulses h + 8: u = 2 (h + 8) + word bit = p + 16. The bits of the first quad follow from the lowest three of the
// word's number; its next two turn those of quads 1 and 3, and of quads 2 and 3 (core/pvq/reed_muller.h).
template <class Lanes>
inline void read_halves(const uint8_t* pulses, Lanes lanes, __m256i first_bits, __m256i tags, Pulses<4>& block) {
  const __m256i even = _mm256_set1_epi8(30), ones = _mm256_set1_epi8(1);
  const __m256i turn1 = _mm256_and_si256(_mm256_srai_epi32(_mm256_slli_epi32(tags, 28), 31), ones);
  const __m256i turn2 = _mm256_and_si256(_mm256_srai_epi32(_mm256_slli_epi32(tags, 27), 31), ones);
  __m256i odd[4];
  odd[0] = _mm256_permutevar8x32_epi32(first_bits, tags);
  odd[1] = _mm256_xor_si256(odd[0], turn1);
  odd[2] = _mm256_xor_si256(odd[0], turn2);
  odd[3] = _mm256_xor_si256(odd[1], turn2);
  for (int q = 0; q < 4; ++q) {
    const __m256i both = lanes.load_pulses(pulses + static_cast<size_t>(q) / 2 * lanes.stride);
    const __m256i doubled = q % 2 == 0 ? _mm256_slli_epi16(both, 1) : _mm256_srli_epi16(both, 3);
    block.quads[q] = _mm256_or_si256(_mm256_and_si256(doubled, even), odd[q]);
  }
}

// As for AVX-512: with o = u + offset, an overflow turns the bit 2 offset of o. half: of the 64 bits of a quad.
template <int Quads>
inline const uint8_t* add_overflows(const uint8_t* overflows, uint32_t present, size_t half, int offset,
                                    Pulses<Quads>& block) {
  const __m256i raise = _mm256_set1_epi8(static_cast<char>(offset));
  const __m256i turn = _mm256_set1_epi8(static_cast<char>(2 * offset));
  const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
  for (int q = 0; q < Quads; ++q) {
    block.quads[q] = _mm256_add_epi8(block.quads[q], raise);
    if ((present >> q & 1) == 0) continue;
    int bits;
    std::memcpy(&bits, overflows + 4 * half, sizeof(bits));
    overflows += 8;
    const __m256i own = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
    block.quads[q] = _mm256_xor_si256(block.quads[q], _mm256_and_si256(_mm256_cmpeq_epi8(own, bit), turn));
  }
  return overflows;
}

template <int Quads, class Lanes>
inline void read_wide(const uint8_t* pulses, Lanes lanes, Pulses<Quads>& block) {
  block.square = _mm256_setzero_si256();
  for (int q = 0; q < Quads; ++q) {
    const __m256i kept = lanes.load_pulses(pulses + static_cast<size_t>(q) * lanes.stride);
    block.quads[q] = _mm256_xor_si256(kept, _mm256_set1_epi8(-128));
    const __m256i magnitude = _mm256_abs_epi8(block.quads[q]);
    block.square = _mm256_add_epi32(block.square, widen(_mm256_maddubs_epi16(magnitude, magnitude)));
  }
}

// The tags of half a block into 32-bit lanes.
inline __m256i read_tags(const uint8_t* tags, int bits, size_t half) {
  if (bits == 4) {
    long long nibbles;
    std::memcpy(&nibbles, tags, sizeof(nibbles));
    const __m256i places =
        _mm256_add_epi32(_mm256_set_epi32(12, 12, 8, 8, 4, 4, 0, 0), _mm256_set1_epi32(static_cast<int>(16 * half)));
    return _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi64x(nibbles), places), _mm256_set1_epi32(15));
  }
  if (bits == 8) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(tags + half * half_groups)));
  }
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tags + half * half_groups * 2)));
}

// Half a block as it is multiplied: pulses with an offset of 2^offset_log2, or as they are where it is wide, and the
// factors of their groups.
template <int Quads>
struct alignas(32) HalfBlock {
  __m256i pulses[Quads];
  __m256 factor;
  bool is_wide, has_overflows;
};

// x: a token's inputs of the half block; correction: -8 times their sums.
template <int OffsetLog2, int Quads>
inline __m256i dot_narrow(const __m256i (&u)[Quads], const int8_t* x, const int32_t* correction) {
  __m256i dot = _mm256_slli_epi32(load(correction), OffsetLog2 - 3);
#if defined(__AVXVNNI__)
  for (int q = 0; q < Quads; ++q) dot = _mm256_dpbusd_avx_epi32(dot, u[q], load(x + q * 64));
#else
  constexpr int together = 8 >> (OffsetLog2 - 3);
  for (int first = 0; first < Quads; first += together) {
    __m256i sum = _mm256_maddubs_epi16(u[first], load(x + first * 64));
    for (int q = first + 1; q < first + together && q < Quads; ++q) {
      sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(u[q], load(x + q * 64)));
    }
    dot = _mm256_add_epi32(dot, widen(sum));
  }
#endif
  return dot;
}

template <int Quads>
inline __m256i dot_wide(const __m256i (&p)[Quads], const int8_t* x) {
  __m256i sum = _mm256_setzero_si256();
  for (int q = 0; q < Quads; ++q) {
    const __m256i signed_x = _mm256_sign_epi8(load(x + q * 64), p[q]), magnitude = _mm256_abs_epi8(p[q]);
#if defined(__AVXVNNI__)
    sum = _mm256_dpbusd_avx_epi32(sum, magnitude, signed_x);
#else
    sum = _mm256_add_epi32(sum, widen(_mm256_maddubs_epi16(magnitude, signed_x)));
#endif
  }
  return sum;
}

// Half of the blocks of a row, one after the other.
template <class Shape>
class HalfCursor {
 public:
  static constexpr int quads = Shape::quads;
  // Log2 of the offset of pulses without overflows; of those with, one more.
  static constexpr int offset_log2 = Shape::words ? 4 : 3;

  HalfCursor() = default;
  HalfCursor(const ExpandedRows& rows, size_t row, size_t half)
      : pulses_(rows.row_pulses(row)), tags_(rows.row_tags(row)), forms_(rows.row_forms(row)), half_(half) {}

  // Block b, which is the next.
  void read(const ExpandedRows& rows, size_t b, HalfBlock<quads>& to) {
    const size_t count = rows.lanes(b);
    if (count == block_groups) {
      read_lanes<true>(rows, b, count, to);
    } else {
      read_lanes<false>(rows, b, count, to);
    }
  }

 private:
  template <bool Whole>
  void read_lanes(const ExpandedRows& rows, size_t b, size_t count, HalfBlock<quads>& to) {
    static const WordBits bits;
    const Lanes<Whole> lanes(count, half_);
    const __m256i tags = read_tags(tags_, rows.tag_bits, half_);
    tags_ += rows.tag_bytes();
    const uint8_t form = quads == 1 || forms_ == nullptr ? ExpandedRows::wide : forms_[b];
    to.is_wide = form == ExpandedRows::wide;
    to.has_overflows = form != 0;
    Pulses<quads> block;
    const uint8_t* own = pulses_ + 32 * half_;
    if (to.is_wide) {
      read_wide(own, lanes, block);
      pulses_ += quads * lanes.stride;
    } else {
      if constexpr (Shape::words) {
        read_halves(own, lanes, load(bits.quads[0]), tags, block);
      } else {
        read_nibbles(own, lanes, block);
      }
      pulses_ += quads / 2 * lanes.stride;
      if (to.has_overflows) pulses_ = add_overflows(pulses_, form, half_, 1 << offset_log2, block);
      square_offset(block, (to.has_overflows ? 2 : 1) << offset_log2);
    }
    // Lanes beyond the row have no inputs: any norm of the table will do.
    if (!Whole) block.square = _mm256_and_si256(block.square, lanes.mask);
    const __m256i level = Shape::words ? _mm256_srli_epi32(tags, 5) : tags;
    const __m256i stride = _mm256_set1_epi32(static_cast<int>(rows.factors->stride));
    const __m256i place = _mm256_add_epi32(_mm256_mullo_epi32(level, stride), block.square);
    to.factor = _mm256_i32gather_ps(rows.factors->values.data(), place, 4);
    for (int q = 0; q < quads; ++q) to.pulses[q] = block.quads[q];
  }

  const uint8_t *pulses_ = nullptr, *tags_ = nullptr, *forms_ = nullptr;
  size_t half_ = 0;
};

}  // namespace
}  // namespace pyramidion
