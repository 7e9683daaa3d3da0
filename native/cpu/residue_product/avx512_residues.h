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

// Magnitudes of a block, which of them are negative, and the symbols of its levels.
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
    read_fields(block);
    __m512i& last = block.magnitudes[Quads - 1];
    block.symbols = _mm512_srli_epi32(last, 24);
    // K less the other residues: the symbol is added because it is among what is subtracted.
    __m512i rest = _mm512_add_epi32(pulses, block.symbols);
    for (const __m512i& residues : block.magnitudes) rest = _mm512_dpbusd_epi32(rest, residues, minus_ones_);
    last = _mm512_ternarylogic_epi32(last, low_three_, _mm512_slli_epi32(rest, 24), 0xe2);
    read_extra(block);
    // Rounds in the order of their fours; most rows have two at D = 8, where a branch in each block would be a guess.
    if (rounds_ > 0) move_fours(_mm512_cmpge_epi32_mask(rest, four_), block);
    if (rounds_ > 1) move_fours(_mm512_cmpge_epi32_mask(rest, eight_), block);
    if (rounds_ > 2) move_more(rest, block);
    read_signs(block);
    fields_ += kBlockBytes;
    _mm_prefetch(reinterpret_cast<const char*>(fields_ + residue_prefetch), _MM_HINT_T0);
  }

 private:
  static constexpr size_t kBlockBytes = Kept == Signs::all ? 24 * Quads + 2 * Extra : 16 * Quads;
  static constexpr unsigned kPlaceBits = Quads == 2 ? 3 : 4;

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
      const uint32_t some = _mm512_test_epi32_mask(block.symbols, block.symbols);
      const auto count = static_cast<unsigned>(__builtin_popcount(some));
      uint64_t bits = open_.peek();
      for (int bit = 0; bit < Extra; ++bit, bits >>= count) {
        add_extra(_pdep_u32(static_cast<uint32_t>(bits), some), bit, block);
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
    open_.skip(kPlaceBits * static_cast<unsigned>(__builtin_popcount(lacking)));
    for (int q = 0; q < Quads; ++q) {
      const __m512i moves = _mm512_maskz_permutexvar_epi32(lacking, place, moves_[q]);
      block.magnitudes[q] = _mm512_add_epi32(block.magnitudes[q], moves);
    }
  }

  void move_more(__m512i rest, Residues<Quads>& block) {
    __m512i fours = eight_;
    for (int round = 2; round < rounds_; ++round) {
      fours = _mm512_add_epi32(fours, four_);
      move_fours(_mm512_cmpge_epi32_mask(rest, fours), block);
    }
  }

  void read_signs(Residues<Quads>& block) {
    for (int q = 0; q < Quads; ++q) {
      if constexpr (Kept == Signs::all) {
        std::memcpy(&block.negative[q], fields_ + 16 * Quads + 8 * q, sizeof(block.negative[q]));
      } else {
        const uint64_t some = _mm512_test_epi8_mask(block.magnitudes[q], block.magnitudes[q]);
        const auto count = static_cast<unsigned>(__builtin_popcountll(some));
        // With a fifth of the magnitudes zero, 3 % of the quads.
        const uint64_t bits = __builtin_expect(count > 57, 0) ? signs_.peek_all() : signs_.peek();
        block.negative[q] = _pdep_u64(bits, some);
        signs_.skip(count);
      }
    }
  }

  const uint8_t* fields_;
  BitWindow open_, signs_;
  int rounds_;
  __m512i moves_[Quads];
  const __m512i minus_ones_ = kept(-1), threes_ = kept(0x03030303), low_three_ = kept(0x00ffffff), four_ = kept(4),
                eight_ = kept(8);
  const __m512i half_shift_ = kept(_mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0));
  const __m512i place_shift_ = kept(_mm512_mullo_epi32(_mm512_set_epi32(7, 6, 5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0),
                                                       _mm512_set1_epi32(static_cast<int>(kPlaceBits))));
};

}  // namespace
}  // namespace pyramidion
