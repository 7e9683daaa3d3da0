// Reads the blocks of residue rows with AVX-512 (F, BW, DQ, VL, VNNI) and BMI2, 16 groups at once, one in each lane.
// What a stream holds for some lanes or bytes only is spread over them by vpexpandd and pdep.
//
// Everything has internal linkage: see lanes.h of the search.
#pragma once

#include "core/pvq/residue_rows.h"
#include "cpu/residue_product/bit_window.h"
#include "cpu/symbol_factors/avx512.h"

namespace pyramidion {
namespace {

using Signs = ResidueRows::Signs;

// Fields and streams are read from memory in order, but not far enough ahead by the processor itself.
constexpr size_t residue_prefetch = 1024;

// Magnitudes of a block, which of them are negative (before read_signs(): may be), and the symbols of its levels.
template <int Quads>
struct Residues {
  __m512i magnitudes[Quads];
  __mmask64 negative[Quads];
  __m512i symbols;
};

template <int Quads, Signs Kept, int Extra>
class ResidueCursor {
 public:
  ResidueCursor(const ResidueRows& rows, size_t row)
      : fields_(rows.row_fields(row)),
        open_(rows.row_open(row)),
        signs_(rows.row_signs(row)),
        rounds_(rows.row_fours(row)) {
    // Bits of what moves a four from the last coordinate, where all of them are at first, to its place.
    for (int q = 0; q < Quads; ++q) {
      alignas(64) uint32_t moves[16];
      for (int i = 0; i < 16; ++i) {
        // At D = 8 the fourth bit is another place's.
        const int place = i % (4 * Quads);
        moves[i] = place / 4 == q ? 4u << 8 * (place % 4) : 0;
        if (q + 1 == Quads) moves[i] -= 4u << 24;
      }
      moves_[q] = _mm512_load_si512(moves);
    }
  }

  // The next block. pulses: K in the lanes that hold groups.
  inline __attribute__((always_inline)) void next(__m512i pulses, Residues<Quads>& block) {
    const __m512i rest = read_residues(pulses, block);
    // All of the fours, for a start.
    __m512i& last = block.magnitudes[Quads - 1];
    last = _mm512_ternarylogic_epi32(last, low_three_, _mm512_slli_epi32(rest, 24), 0xe2);
    read_extra(block);
    __m512i fours = four_;
    for (int round = 0; round < rounds_; ++round) {
      move_fours(_mm512_cmpge_epi32_mask(rest, fours), block);
      fours = _mm512_add_epi32(fours, four_);
    }
    mask_signs(block);
    step();
  }

  // The same where no group of the row lacks more than two fours, at D = 8. A second round is run without asking
  // whether there is one, which would be a guess in each block; all that is taken of the stream is in one word.
  inline __attribute__((always_inline)) void next_of_few(__m512i pulses, Residues<Quads>& block) {
    const __m512i rest = read_residues(pulses, block);
    const __mmask16 first = _mm512_cmpge_epi32_mask(rest, four_), second = _mm512_cmpge_epi32_mask(rest, eight_);
    const __mmask16 some = Kept == Signs::all || Extra == 0 ? 0 : _mm512_test_epi32_mask(block.symbols, block.symbols);
    const unsigned first_bits = 3 * count_of(first), second_bits = 3 * count_of(second);
    const unsigned extra_bits = count_of(some) * static_cast<unsigned>(Extra),
                   bits = extra_bits + first_bits + second_bits;
    if (__builtin_expect(bits > BitWindow::peeked, 0)) {
      Residues<Quads> all;
      next(pulses, all);
      block = all;
      return;
    }
    uint64_t window = open_.peek();
    open_.skip(bits);
    if constexpr (Kept == Signs::all) {
      read_extra(block);
    } else {
      for (int bit = 0; bit < Extra; ++bit, window >>= count_of(some)) {
        add_extra(_pdep_u32(static_cast<uint32_t>(window), _cvtmask16_u32(some)), bit, block);
      }
    }
    // Fours in the upper two bits of nibbles: quads side by side, residues where they are.
    const __m512i moved = _mm512_add_epi32(fours_at(first, window), fours_at(second, window >> first_bits));
    __m512i &left = block.magnitudes[0], &right = block.magnitudes[1];
    left = _mm512_ternarylogic_epi32(left, moved, twelves_, 0xf8);
    right = _mm512_ternarylogic_epi32(right, not_last_, _mm512_slli_epi32(rest, 24), 0xe2);
    right = _mm512_ternarylogic_epi32(right, _mm512_srli_epi32(moved, 4), twelves_, 0xf8);
    mask_signs(block);
    step();
  }

  // Has to follow next() or next_of_few(), block by block: which magnitudes are negative, of those that are not zero.
  void read_signs(Residues<Quads>& block) {
    if constexpr (Kept == Signs::all) return;
    for (int q = 0; q < Quads; ++q) {
      const uint64_t some = block.negative[q];
      const auto count = static_cast<unsigned>(__builtin_popcountll(some));
      // With a fifth of the magnitudes zero, more in 2 % of the quads.
      const uint64_t bits = __builtin_expect(count > BitWindow::peeked, 0) ? signs_.peek_all() : signs_.peek();
      block.negative[q] = _pdep_u64(bits, some);
      signs_.skip(count);
    }
  }

 private:
  static constexpr size_t kBlockBytes = Kept == Signs::all ? 24 * Quads + 2 * Extra : 16 * Quads;
  static constexpr unsigned kPlaceBits = Quads == 2 ? 3 : 4;

  // By _cvtmask16_u32, because GCC 12 may keep a mask in 16 bits of memory and read 32 back.
  static unsigned count_of(__mmask16 mask) { return static_cast<unsigned>(__builtin_popcount(_cvtmask16_u32(mask))); }

  void step() {
    fields_ += kBlockBytes;
    _mm_prefetch(reinterpret_cast<const char*>(fields_ + residue_prefetch), _MM_HINT_T0);
  }

  // Residues and the low bits of symbols. Returns what the last residue and the fours that are lacking add up to.
  __m512i read_residues(__m512i pulses, Residues<Quads>& block) {
    read_fields(block);
    block.symbols = _mm512_srli_epi32(block.magnitudes[Quads - 1], 24);
    // K less the other residues: the symbol is added because it is among what is subtracted.
    __m512i rest = _mm512_add_epi32(pulses, block.symbols);
    for (const __m512i& residues : block.magnitudes) rest = _mm512_dpbusd_epi32(rest, residues, minus_ones_);
    return rest;
  }

  void read_fields(Residues<Quads>& block) {
    if constexpr (Quads == 4) {
      const __m512i fields = _mm512_loadu_si512(fields_);
      block.magnitudes[0] = _mm512_and_si512(fields, threes_);
      for (unsigned q = 1; q < 4; ++q) {
        block.magnitudes[q] = _mm512_and_si512(_mm512_srli_epi32(fields, 2 * q), threes_);
      }
    } else {
      // The upper half has its fields four bits further up.
      const __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(fields_)));
      const __m512i fields = _mm512_srlv_epi64(both, half_shift_);
      block.magnitudes[0] = _mm512_and_si512(fields, threes_);
      block.magnitudes[1] = _mm512_and_si512(_mm512_srli_epi32(fields, 2), threes_);
    }
  }

  void read_extra(Residues<Quads>& block) {
    if constexpr (Kept == Signs::all) {
      for (int bit = 0; bit < Extra; ++bit) {
        uint16_t set;
        std::memcpy(&set, fields_ + 24 * Quads + 2 * bit, sizeof(set));
        add_extra(set, bit, block);
      }
    } else if constexpr (Extra > 0) {
      const __mmask16 some = _mm512_test_epi32_mask(block.symbols, block.symbols);
      const unsigned count = count_of(some);
      uint64_t bits = open_.peek();
      for (int bit = 0; bit < Extra; ++bit, bits >>= count) {
        add_extra(_pdep_u32(static_cast<uint32_t>(bits), _cvtmask16_u32(some)), bit, block);
      }
      open_.skip(count * static_cast<unsigned>(Extra));
    }
  }

  void add_extra(uint32_t set, int bit, Residues<Quads>& block) {
    const __m512i value = bit == 0 ? four_ : eight_;
    block.symbols = _mm512_mask_add_epi32(block.symbols, static_cast<__mmask16>(set), block.symbols, value);
  }

  // 16 places from the next bit on, in the low bits of the lanes.
  __m512i next_places() const {
    if constexpr (Quads == 2) {
      // A half takes 24 bits.
      int low, high;
      std::memcpy(&low, open_.at(), sizeof(low));
      std::memcpy(&high, open_.at() + 3, sizeof(high));
      const __m512i halves = _mm512_mask_set1_epi32(_mm512_set1_epi32(low), 0xff00, high);
      return _mm512_srlv_epi32(halves, _mm512_add_epi32(place_shift_, _mm512_set1_epi32(open_.bit_in_byte())));
    } else {
      const uint64_t bits = open_.peek_all();
      const __m512i halves =
          _mm512_mask_set1_epi32(_mm512_set1_epi32(static_cast<int>(bits)), 0xff00, static_cast<int>(bits >> 32));
      return _mm512_srlv_epi32(halves, place_shift_);
    }
  }

  void move_fours(__mmask16 lacking, Residues<Quads>& block) {
    const __m512i place = _mm512_maskz_expand_epi32(lacking, next_places());
    open_.skip(kPlaceBits * count_of(lacking));
    for (int q = 0; q < Quads; ++q) {
      const __m512i moves = _mm512_maskz_permutexvar_epi32(lacking, place, moves_[q]);
      block.magnitudes[q] = _mm512_add_epi32(block.magnitudes[q], moves);
    }
  }

  // At D = 8, by the places in the low bits of `window`: fours of quads 0 and 1 in the nibbles of their bytes.
  __m512i fours_at(__mmask16 lacking, uint64_t window) const {
    const __m512i low = _mm512_set1_epi32(static_cast<int>(window));
    const __m512i halves = _mm512_mask_set1_epi32(low, 0xff00, static_cast<int>(window >> 24));
    const __m512i place = _mm512_maskz_expand_epi32(lacking, _mm512_srlv_epi32(halves, place_shift_));
    return _mm512_maskz_permutexvar_epi32(lacking, place, nibbles_);
  }

  void mask_signs(Residues<Quads>& block) const {
    for (int q = 0; q < Quads; ++q) {
      if constexpr (Kept == Signs::all) {
        std::memcpy(&block.negative[q], fields_ + 16 * Quads + 8 * q, sizeof(block.negative[q]));
      } else {
        block.negative[q] = _mm512_test_epi8_mask(block.magnitudes[q], block.magnitudes[q]);
      }
    }
  }

  const uint8_t* fields_;
  BitWindow open_, signs_;
  int rounds_;
  __m512i moves_[Quads];
  const __m512i minus_ones_ = kept(-1), threes_ = kept(0x03030303), low_three_ = kept(0x00ffffff), four_ = kept(4),
                eight_ = kept(8), twelves_ = kept(0x0c0c0c0c), not_last_ = kept(~0x03000000);
  const __m512i nibbles_ = kept(_mm512_set_epi32(1 << 30, 1 << 22, 1 << 14, 1 << 6, 1 << 26, 1 << 18, 1 << 10, 1 << 2,
                                                 1 << 30, 1 << 22, 1 << 14, 1 << 6, 1 << 26, 1 << 18, 1 << 10, 1 << 2));
  const __m512i half_shift_ = kept(_mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0));
  const __m512i place_shift_ = kept(_mm512_mullo_epi32(_mm512_set_epi32(7, 6, 5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0),
                                                       _mm512_set1_epi32(static_cast<int>(kPlaceBits))));
};

}  // namespace
}  // namespace pyramidion
