// Codes of 16 groups out of the bit stream, and their levels, with AVX-512.
#pragma once

#include "core/pvq/pvq_code.h"
#include "cpu/pvq_decode/avx512_wide.h"

namespace pyramidion {
namespace {

constexpr size_t lanes = 16;

// What one permutation moves: bytes with VBMI (vpermb), words of two without (vpermw).
#if defined(__AVX512VBMI__)
constexpr int unit_bits = 8;
constexpr long long eight_bytes = 0x0706050403020100, every_unit = 0x0101010101010101;
inline __m512i permute_units(__m512i places, __m512i units) { return _mm512_permutexvar_epi8(places, units); }
#else
constexpr int unit_bits = 16;
constexpr long long eight_bytes = 0x0003000200010000, every_unit = 0x0001000100010001;
inline __m512i permute_units(__m512i places, __m512i units) { return _mm512_permutexvar_epi16(places, units); }
#endif

// Reads 16 codes of the stream into 64-bit lanes. Eight codes start on a byte and are at most 64 bytes, so one
// permutation brings each lane eight bytes from the unit on that its code starts in, and a shift its bits; a second one
// the unit that follows, where a code may reach into it.
class CodeReader {
 public:
  explicit CodeReader(int bits) : bits_(bits) {
    // How far into a unit a code may start: a multiple of what its bits share with a unit.
    const int latest = unit_bits - (bits % unit_bits == 0 ? unit_bits : bits & -bits);
    spills_ = latest + bits > 64;
    const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i start = _mm512_mullo_epi64(lane, _mm512_set1_epi64(bits));
    const __m512i unit = _mm512_srli_epi64(start, unit_bits == 8 ? 3 : 4);
    places_ = _mm512_add_epi64(_mm512_mullo_epi64(unit, _mm512_set1_epi64(every_unit)), _mm512_set1_epi64(eight_bytes));
    shift_ = _mm512_and_si512(start, _mm512_set1_epi64(unit_bits - 1));
    mask_ = _mm512_set1_epi64(static_cast<long long>(~uint64_t{0} >> (64 - bits)));
  }

  // The codes from `bytes` on, of which the first `count` are real and the rest become zero.
  Wide read(const uint8_t* bytes, size_t count) const {
    const __mmask16 real = static_cast<__mmask16>(count >= lanes ? 0xffff : (1u << count) - 1);
    return {read_half(bytes, static_cast<__mmask8>(real)), read_half(bytes + bits_, static_cast<__mmask8>(real >> 8))};
  }

 private:
  __m512i read_half(const uint8_t* bytes, __mmask8 real) const {
    const __m512i raw = _mm512_loadu_si512(bytes);
    __m512i code = _mm512_srlv_epi64(permute_units(places_, raw), shift_);
    if (spills_) {
      const __m512i next = _mm512_set1_epi64(every_unit * (64 / unit_bits));
      const __m512i rest = permute_units(_mm512_add_epi64(places_, next), raw);
      code = _mm512_or_si512(code, _mm512_sllv_epi64(rest, _mm512_sub_epi64(_mm512_set1_epi64(64), shift_)));
    }
    return _mm512_maskz_and_epi64(real, code, mask_);
  }

  int bits_;
  bool spills_;
  __m512i places_, shift_, mask_;
};

// Splits codes into levels and indices and looks the levels up.
class LevelReader {
 public:
  explicit LevelReader(const PvqCode& code)
      : levels_(code.levels.data()),
        count_(_mm512_set1_epi64(static_cast<long long>(code.count()))),
        reciprocal_(_mm512_set1_pd((1 - 0x1p-50) / static_cast<double>(code.count()))),
        few_(code.levels.size() <= lanes),
        first_(_mm512_maskz_loadu_ps(static_cast<__mmask16>(few_ ? (1u << code.levels.size()) - 1 : 0xffff), levels_)) {
  }

  __m512 read(const Wide& codes, Wide* index) const {
    const __m512i level = narrow(
        {divide(codes.low, count_, reciprocal_, &index->low), divide(codes.high, count_, reciprocal_, &index->high)});
    return few_ ? _mm512_permutexvar_ps(level, first_) : _mm512_i32gather_ps(level, levels_, 4);
  }

 private:
  const float* levels_;
  __m512i count_;
  __m512d reciprocal_;
  bool few_;
  __m512 first_;
};

}  // namespace
}  // namespace pyramidion
