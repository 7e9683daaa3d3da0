// What levels with pulses of their own cost a decoder: the library's fused AVX-512 product against one for such codes, interleaved. The new part
// is the root: instead of dividing the code by N(D,K) and searching one row of offsets, a table of all (level, pulses of the left half) is
// entered by the code's leading bits and searched upwards. Below the root nothing changes.
//
//   cd native/core/pvq && g++ -O3 -march=native -std=c++17 -I ../.. -o own_decode ../../../bench/codes/own_decode.cc barnes_wall_index.cc \
//       barnes_wall_tables.cc bit_stream.cc pvq_code.cc pyramid_cache.cc pyramid_counts.cc pyramid_tables.cc quad_table.cc
//   ./own_decode [rounds=20]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "cpu/pvq_decode/avx512_integer.h"  // for what is in its unnamed namespace
#include "core/pvq/bit_stream.h"

namespace pyramidion {
namespace {

constexpr int bucket_bits = 11;

struct OwnCode {
  int dimension, bits, bucket_shift, coarse_shift = 0;
  size_t groups;
  std::shared_ptr<const PyramidTables> tables;
  std::vector<int> pulses;
  std::vector<float> levels;
  std::vector<uint64_t> starts;   // where each level's codes start, and the end
  std::vector<uint64_t> offsets;  // of each (level, pulses of the left half), ascending
  std::vector<uint32_t> coarse;   // offsets without their last bits, and 2^32 - 1
  std::vector<uint32_t> entries;  // level | left << 8 | right << 16
  std::vector<uint32_t> buckets;  // the last entry not above the codes of a bucket

  OwnCode(int d, size_t group_count, const std::vector<int>& own, const std::vector<float>& radii, PyramidCache& cache)
      : dimension(d), groups(group_count), pulses(own), levels(radii) {
    tables = cache.tables(d, *std::max_element(own.begin(), own.end()));
    uint64_t start = 0;
    for (size_t l = 0; l < own.size(); ++l) {
      const PyramidCounts counts(d, own[l]);
      starts.push_back(start);
      for (int j = 0; j <= own[l]; ++j) {
        offsets.push_back(start + counts.offset(d, own[l], j));
        entries.push_back(static_cast<uint32_t>(l | static_cast<size_t>(j) << 8 | static_cast<size_t>(own[l] - j) << 16));
      }
      start += counts.count();
    }
    starts.push_back(start);
    bits = 64 - __builtin_clzll(start - 1);
    bucket_shift = bits - bucket_bits;
    coarse_shift = bits > 31 ? bits - 31 : 0;
    for (uint64_t offset : offsets) coarse.push_back(static_cast<uint32_t>(offset >> coarse_shift));
    coarse.push_back(0xffffffff);
    size_t entry = 0;
    for (uint64_t bucket = 0; bucket < 1 << bucket_bits; ++bucket) {
      while (entry + 1 < offsets.size() && offsets[entry + 1] <= bucket << bucket_shift) ++entry;
      buckets.push_back(static_cast<uint32_t>(entry));
    }
  }
};

template <int D, bool Small>
float dot_own(const OwnCode& code, const uint8_t* codes, const float* prepared) {
  const CodeReader reader(code.bits);
  const Lookup lookup(*code.tables);
  const __m512 levels = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << code.levels.size()) - 1), code.levels.data());
  const __m512i byte = _mm512_set1_epi32(0xff);
  const auto bucket_shift = static_cast<unsigned>(code.bucket_shift), coarse_shift = static_cast<unsigned>(code.coarse_shift);
  __m512 total = _mm512_setzero_ps();
  for (size_t g = 0; g < code.groups; g += lanes) {
    const Wide value = reader.read(codes, code.groups - g);
    const __m512i leading = narrow({_mm512_srli_epi64(value.low, coarse_shift), _mm512_srli_epi64(value.high, coarse_shift)});
    const __m512i bucket = _mm512_srli_epi32(leading, bucket_shift - coarse_shift);
    __m512i entry = _mm512_i32gather_epi32(bucket, code.buckets.data(), 4);
    for (;;) {
      const __m512i next = _mm512_add_epi32(entry, _mm512_set1_epi32(1));
      const __mmask16 up = _mm512_cmpge_epu32_mask(leading, _mm512_i32gather_epi32(next, code.coarse.data(), 4));
      if (up == 0) break;
      entry = _mm512_mask_mov_epi32(entry, up, next);
    }
    // At D = 8 the leading bits are the whole code.
    Wide rest;
    while (D > 8) {
      const Wide offset = {_mm512_i32gather_epi64(_mm512_castsi512_si256(entry), code.offsets.data(), 8),
                           _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(entry, 1), code.offsets.data(), 8)};
      const auto above = static_cast<__mmask16>(_mm512_cmpgt_epu64_mask(offset.low, value.low) |
                                                _mm512_cmpgt_epu64_mask(offset.high, value.high) << 8);
      rest = {_mm512_sub_epi64(value.low, offset.low), _mm512_sub_epi64(value.high, offset.high)};
      if (above == 0) break;
      entry = _mm512_mask_sub_epi32(entry, above, entry, _mm512_set1_epi32(1));
    }
    const __m512i packed = _mm512_i32gather_epi32(entry, code.entries.data(), 4);
    const __m512i left = _mm512_and_si512(_mm512_srli_epi32(packed, 8), byte), k = _mm512_add_epi32(left, _mm512_srli_epi32(packed, 16));
    Product product{prepared};
    if constexpr (D == 8) {
      static_assert(Small, "only small pyramids here");
      const __m512i offset = _mm512_i32gather_epi32(entry, code.coarse.data(), 4);
      divide_small_eight(lookup, 0, k, left, _mm512_sub_epi32(leading, offset), product);
    } else {
      walk_eights<Small>(lookup, 0, divide_wide(code.tables->level(D), k, left, rest), product);
    }
    const __m512 level = _mm512_permutexvar_ps(_mm512_and_si512(packed, byte), levels);
    total = _mm512_fmadd_ps(level, product.projection(), total);
    codes += 2 * code.bits;
    prepared += lanes * D;
  }
  return _mm512_reduce_add_ps(total);
}

/** The same in plain double arithmetic. */
double reference(const OwnCode& code, const uint64_t* values, const float* x) {
  double total = 0;
  for (size_t g = 0; g < code.groups; ++g) {
    size_t level = 0;
    while (code.starts[level + 1] <= values[g]) ++level;
    int16_t point[32];
    PyramidCounts(code.dimension, code.pulses[level]).point_of(values[g] - code.starts[level], point);
    double dot = 0, norm = 0;
    for (int i = 0; i < code.dimension; ++i) {
      dot += point[i] * static_cast<double>(x[g * static_cast<size_t>(code.dimension) + static_cast<size_t>(i)]);
      norm += point[i] * point[i];
    }
    total += code.levels[level] * dot / std::sqrt(norm);
  }
  return total;
}

template <int D, bool Small>
void compare(int pulses, size_t levels, const std::vector<int>& own, int rounds) {
  constexpr size_t columns = 4096, rows = 64;
  PyramidCache cache;
  std::mt19937_64 random(1);
  std::vector<float> radii, own_radii;
  for (size_t l = 0; l < levels; ++l) radii.push_back(2 + 0.5f * static_cast<float>(l));
  for (size_t l = 0; l < own.size(); ++l) own_radii.push_back(2 + 0.4f * static_cast<float>(l));
  const PvqCode shared(PvqSegment{columns, D, pulses, radii}, cache);
  const OwnCode code(D, columns / D, own, own_radii, cache);
  std::vector<float> x(columns);
  for (auto& value : x) value = static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-53 - 0.5);
  alignas(64) static float prepared[columns];
  prepare(shared, x.data(), prepared);

  auto packed = [&](int bits, uint64_t count, std::vector<uint64_t>* first) {
    std::vector<uint8_t> bytes(rows * packed_bytes(columns / D, bits) + 64);
    for (size_t row = 0; row < rows; ++row) {
      std::vector<uint64_t> values(columns / D);
      for (auto& value : values) value = random() % count;
      if (row == 0) *first = values;
      pack_codes(values.data(), values.size(), bits, &bytes[row * packed_bytes(columns / D, bits)]);
    }
    return bytes;
  };
  std::vector<uint64_t> first;
  const auto shared_codes = packed(shared.bits, shared.count() * levels, &first);
  const auto own_codes = packed(code.bits, code.starts.back(), &first);
  const double wanted = reference(code, first.data(), x.data()), got = dot_own<D, Small>(code, own_codes.data(), prepared);
  if (!(std::abs(wanted - got) < 1e-3)) std::exit(std::fprintf(stderr, "wrong: %g instead of %g\n", got, wanted));

  double best[2] = {1e9, 1e9}, sink = 0;
  for (int round = 0; round < rounds; ++round) {
    for (int which = 0; which < 2; ++which) {
      const auto start = std::chrono::steady_clock::now();
      for (size_t row = 0; row < rows; ++row) {
        sink += which == 0 ? dot<D, Small>(shared, &shared_codes[row * shared.bytes], prepared)
                           : dot_own<D, Small>(code, &own_codes[row * packed_bytes(columns / D, code.bits)], prepared);
      }
      best[which] = std::min(best[which], std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }
  std::printf("D=%d: K=%d L=%zu (%d bits) %.0f, own pulses of %zu levels (%d bits) %.0f million weights a second%s\n", D, pulses, levels,
              shared.bits, rows * columns / best[0] / 1e6, own.size(), code.bits, rows * columns / best[1] / 1e6, sink == 0 ? " " : "");
}

}  // namespace
}  // namespace pyramidion

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20;
  using pyramidion::compare;
  compare<16, true>(24, 7, {19, 22, 21, 24, 22, 25, 25, 24, 21, 22}, rounds);
  compare<16, false>(35, 7, {30, 33, 34, 36, 34, 36, 35, 34, 31}, rounds);
  compare<8, true>(12, 7, {8, 10, 11, 12, 11, 13, 12, 12, 11, 11}, rounds);
}
