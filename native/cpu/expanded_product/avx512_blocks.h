// Reads the blocks of expanded rows with AVX-512 (F, BW, DQ, VL, VNNI), 16 groups at once, one in each lane. vpdpbusd
// multiplies unsigned with signed bytes, so pulses are kept and used with an offset: with u = p + c,
//   <p, q> = <u, q> - c sum q        (the tokens come with -8 sum q),
//   sum p^2 = <u, u - 2c> + D c^2    (u - 2c fits a signed byte for c = 8, 16 and 32; wide pulses, c = 128, are squared
//   as |p|).
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

// GCC 12 takes the "undefined" vectors inside its own intrinsics for uninitialised variables (bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstring>
#include <type_traits>

#include "core/pvq/expanded_rows.h"
#include "cpu/expanded_product/word_bits.h"

namespace pyramidion {
namespace {

// A block's pulses with an offset of 2^offset_log2, and the sums of their squares.
template <int Quads>
struct Pulses {
  __m512i u[Quads], square;
};

template <int Quads>
inline void square_offset(Pulses<Quads>& block, int offset) {
  block.square = _mm512_set1_epi32(4 * Quads * offset * offset);
  for (int q = 0; q < Quads; ++q) {
    const __m512i shifted = _mm512_sub_epi8(block.u[q], _mm512_set1_epi8(static_cast<char>(2 * offset)));
    block.square = _mm512_dpbusd_epi32(block.square, block.u[q], shifted);
  }
}

// Tags of a block into 32-bit lanes.
inline __m512i read_tags(const uint8_t* tags, int bits) {
  if (bits == 4) {
    int64_t nibbles;
    std::memcpy(&nibbles, tags, sizeof(nibbles));
    const __m512i places = _mm512_set_epi32(28, 28, 24, 24, 20, 20, 16, 16, 12, 12, 8, 8, 4, 4, 0, 0);
    return _mm512_and_si512(_mm512_srlv_epi32(_mm512_set1_epi64(nibbles), places), _mm512_set1_epi32(15));
  }
  if (bits == 8) return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tags)));
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tags)));
}

// level * (1 / ||p||): by registers where there are few levels and all 16 norms are usual ones, else out of the table
// of all.
class FactorReader {
 public:
  explicit FactorReader(const GroupFactors& factors)
      : factors_(factors),
        stride_(_mm512_set1_epi32(static_cast<int>(factors.stride))),
        few_(factors.levels.size() <= block_groups),
        levels_(_mm512_maskz_loadu_ps(static_cast<__mmask16>(few_ ? (1u << factors.levels.size()) - 1 : 0xffff),
                                      factors.levels.data())),
        first_(_mm512_set1_epi32(static_cast<int>(factors.first_norm))),
        shift_(_mm512_set1_epi32(static_cast<int>(factors.norm_shift))) {
    for (int i = 0; i < 4; ++i) inverse_norms_[i] = _mm512_load_ps(factors.inverse_norms + 16 * i);
  }

  // The least squared norm of a point.
  __m512i least_square() const { return first_; }

  // Whether levels are read from a register.
  bool few_levels() const { return few_; }

  // The factors for places among the usual norms, where levels are few. Of a level four bits count.
  __m512 read_usual(__m512i level, __m512i place) const {
    const __m512 low = _mm512_permutex2var_ps(inverse_norms_[0], place, inverse_norms_[1]);
    const __m512 high = _mm512_permutex2var_ps(inverse_norms_[2], place, inverse_norms_[3]);
    const __mmask16 upper = _mm512_test_epi32_mask(place, _mm512_set1_epi32(32));
    return _mm512_mul_ps(_mm512_permutexvar_ps(level, levels_), _mm512_mask_mov_ps(low, upper, high));
  }

  __m512 read(__m512i level, __m512i square) const {
    const __m512i usual = _mm512_srlv_epi32(_mm512_sub_epi32(square, first_), shift_);
    if (few_ && _mm512_cmpge_epu32_mask(usual, _mm512_set1_epi32(GroupFactors::usual_norms)) == 0) {
      return read_usual(level, usual);
    }
    const __m512i place = _mm512_add_epi32(_mm512_mullo_epi32(level, stride_), square);
    return _mm512_i32gather_ps(place, factors_.values.data(), 4);
  }

 private:
  const GroupFactors& factors_;
  __m512i stride_;
  bool few_;
  __m512 levels_, inverse_norms_[4];
  __m512i first_, shift_;
};

// Whole: all lanes of a block are kept; otherwise the first `count`, and a vector has 4 count bytes.
template <bool Whole>
struct Lanes {
  size_t bytes;
  __mmask16 mask;

  explicit Lanes(size_t count) : bytes(4 * count), mask(static_cast<__mmask16>((1u << count) - 1)) {}

  __m512i load(const uint8_t* pulses) const {
    return Whole ? _mm512_loadu_si512(pulses) : _mm512_maskz_loadu_epi32(mask, pulses);
  }

  // Zero in lanes beyond the row.
  __m512i kept(__m512i values) const { return Whole ? values : _mm512_maskz_mov_epi32(mask, values); }

  // Lanes beyond the row have no inputs: any norm will do there, and this one needs no table.
  __m512i known(__m512i square, const FactorReader& factors) const {
    return Whole ? square : _mm512_mask_mov_epi32(factors.least_square(), mask, square);
  }
};

template <int Quads, class Lanes>
inline void read_nibbles(const uint8_t* pulses, Lanes lanes, __m512i low, Pulses<Quads>& block) {
#pragma GCC unroll 4
  for (int q = 0; q + 1 < Quads; q += 2) {
    const __m512i both = lanes.load(pulses + static_cast<size_t>(q) / 2 * lanes.bytes);
    block.u[q] = _mm512_and_si512(both, low);
    block.u[q + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
  }
}

// Half pulses h + 8: u = 2 (h + 8) + word bit = p + 16. The low five bits of a tag are the word.
template <int Quads, class Lanes>
inline void read_halves(const uint8_t* pulses, Lanes lanes, const WordBits& bits, __m512i tags, Pulses<Quads>& block) {
  const __m512i even = _mm512_set1_epi8(30);
  for (int q = 0; q < Quads; q += 2) {
    const __m512i both = lanes.load(pulses + static_cast<size_t>(q) / 2 * lanes.bytes);
    const __m512i doubled[2] = {_mm512_slli_epi16(both, 1), _mm512_srli_epi16(both, 3)};
    for (int half = 0; half < 2; ++half) {
      const uint32_t* table = bits.quads[(q + half) % 4];
      const __m512i odd = _mm512_permutex2var_epi32(_mm512_load_si512(table), tags, _mm512_load_si512(table + 16));
      // (doubled & even) | odd
      block.u[q + half] = _mm512_ternarylogic_epi32(doubled[half], even, odd, 0xea);
    }
  }
}

// Doubles the range of pulses kept modulo 2 offset: with o = u + offset, an overflow turns the bit 2 offset of o.
// Returns the end of the overflows. The bits of all quads are there after one load that leaves those without overflow
// zero.
template <int Quads>
inline const uint8_t* add_overflows(const uint8_t* overflows, uint32_t form, int offset, Pulses<Quads>& block) {
  alignas(64) uint64_t quads[8];
  _mm512_store_si512(quads, _mm512_maskz_expandloadu_epi64(static_cast<__mmask8>(form), overflows));
  const __m512i turn = _mm512_set1_epi8(static_cast<char>(2 * offset));
  for (int q = 0; q < Quads; ++q) {
    const __m512i raised = _mm512_add_epi8(block.u[q], _mm512_set1_epi8(static_cast<char>(offset)));
    block.u[q] = _mm512_xor_si512(raised, _mm512_maskz_mov_epi8(quads[q], turn));
  }
  return overflows + 8 * __builtin_popcount(form);
}

template <int Quads, class Lanes>
inline void read_wide(const uint8_t* pulses, Lanes lanes, Pulses<Quads>& block) {
  const __m512i sign = _mm512_set1_epi8(-128);
  block.square = _mm512_setzero_si512();
  for (int q = 0; q < Quads; ++q) {
    block.u[q] = lanes.load(pulses + static_cast<size_t>(q) * lanes.bytes);
    const __m512i magnitude = _mm512_abs_epi8(_mm512_xor_si512(block.u[q], sign));
    block.square = _mm512_dpbusd_epi32(block.square, magnitude, magnitude);
  }
}

// Pulses are read from memory in order, but with so much to do between two reads that the processor does not get far
// enough ahead on its own.
constexpr size_t prefetch_distance = 1536;

// The blocks of a row one after the other.
template <int Quads, bool Words>
class BlockCursor {
 public:
  BlockCursor() = default;
  BlockCursor(const ExpandedRows& rows, size_t row)
      : pulses_(rows.row_pulses(row)), tags_(rows.row_tags(row)), forms_(rows.row_forms(row)) {}

  // use(block, factor, std::integral_constant<int, log2 of the pulses' offset>) for block b, which is the next.
  template <class Use>
  inline __attribute__((always_inline)) void next(const ExpandedRows& rows, const FactorReader& factors, size_t b,
                                                  const Use& use) {
    const size_t count = rows.lanes(b);
    if (count == block_groups) {
      next_lanes(Lanes<true>(count), rows, factors, b, use);
    } else {
      next_lanes(Lanes<false>(count), rows, factors, b, use);
    }
  }

  // For those who read a block of several rows at once: where the next block's pulses begin, and any block's tags.
  const uint8_t* pulses() const { return pulses_; }
  const uint8_t* tags(size_t b, size_t tag_bytes) const { return tags_ + b * tag_bytes; }
  uint8_t form(size_t b) const { return forms_[b]; }
  void advance(size_t pulse_bytes) { pulses_ += pulse_bytes; }

 private:
  template <class Lanes, class Use>
  inline __attribute__((always_inline)) void next_lanes(Lanes lanes, const ExpandedRows& rows,
                                                        const FactorReader& factors, size_t b, const Use& use) {
    static const WordBits bits;
    constexpr int offset_log2 = Words ? 4 : 3;
    for (int line = 0; line < Quads; line += 2) {
      _mm_prefetch(reinterpret_cast<const char*>(pulses_ + prefetch_distance + line * 32), _MM_HINT_T0);
    }
    const __m512i tags = read_tags(tags_ + b * rows.tag_bytes(), rows.tag_bits);
    const __m512i levels = Words ? _mm512_srli_epi32(tags, 5) : tags;
    const uint8_t form = Quads == 1 || forms_ == nullptr ? ExpandedRows::wide : forms_[b];
    Pulses<Quads> block;
    if (form == ExpandedRows::wide) {
      read_wide(pulses_, lanes, block);
      pulses_ += Quads * lanes.bytes;
      return use(block, factors.read(levels, lanes.known(block.square, factors)), std::integral_constant<int, 7>());
    }
    if constexpr (Words) {
      read_halves(pulses_, lanes, bits, tags, block);
    } else if constexpr (Quads > 1) {
      read_nibbles(pulses_, lanes, _mm512_set1_epi8(15), block);
    }
    pulses_ += Quads / 2 * lanes.bytes;
    if (form == 0) {
      square_offset(block, 1 << offset_log2);
      return use(block, factors.read(levels, lanes.known(block.square, factors)),
                 std::integral_constant<int, offset_log2>());
    }
    pulses_ = add_overflows(pulses_, form, 1 << offset_log2, block);
    square_offset(block, 2 << offset_log2);
    use(block, factors.read(levels, lanes.known(block.square, factors)),
        std::integral_constant<int, offset_log2 + 1>());
  }

  const uint8_t *pulses_ = nullptr, *tags_ = nullptr, *forms_ = nullptr;
};

// A block that is kept for many products: the pulses of all quads as p + 128, then the factors of the groups.
template <int Quads>
constexpr size_t expanded_block_bytes = (Quads + 1) * 64;

// Block b, which is the cursor's next. to: 64-byte aligned.
template <int Quads, bool Words>
inline void expand_block(const ExpandedRows& rows, const FactorReader& factors, BlockCursor<Quads, Words>& cursor,
                         size_t b, uint8_t* to) {
  cursor.next(rows, factors, b, [to](const Pulses<Quads>& block, __m512 factor, auto offset) {
    const __m512i more = _mm512_set1_epi8(static_cast<char>(128 - (1 << offset)));
    for (int q = 0; q < Quads; ++q) _mm512_store_si512(to + q * 64, _mm512_add_epi8(block.u[q], more));
    _mm512_store_ps(to + Quads * 64, factor);
  });
}

}  // namespace
}  // namespace pyramidion
