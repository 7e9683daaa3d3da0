// Points of the Barnes-Wall lattice with AVX-512, 16 groups at a time, one in each lane; core/pvq/barnes_wall_index.h
// has the order of the points. Groups are sorted by the kind of their word first, so that all lanes go the same way.
//
// A point is two halves of eight coordinates, which are walked as any tree (avx512_tree.h) with at most 31 pulses each;
// the few points with more in a half, where K > 70, are left to the portable decoder.
#pragma once

#include "cpu/pvq_decode/avx512_codes.h"
#include "cpu/pvq_decode/avx512_tree.h"
#include "cpu/pvq_decode/barnes_wall_point.h"

namespace pyramidion {
namespace {

// 16 groups with their points.
struct BarnesWallGroups {
  // x, one group after the other.
  alignas(64) int8_t coordinates[lanes][16];
  // ||x||^2, and the gain levels.
  __m512 squares, levels;
  // Where the groups stand in the row. Beyond the count levels are 0, places too, and points any.
  alignas(64) uint32_t places[lanes];
  size_t count;
};

// Coordinates of points on the way: four of 16 groups, packed int8, in each vector.
struct PackedPoints {
  __m512i quads[4];

  void quad(int first, __m512i packed) { quads[first / 4] = packed; }

  void double_from(int first) {
    for (int q = first; q < 4; ++q) quads[q] = _mm512_add_epi8(quads[q], quads[q]);
  }

  // Negates coordinate i of a group where bit i of its signs is set.
  void apply_signs(__m512i signs, int quad_count) {
    for (int q = 0; q < quad_count; ++q) {
      const __m512i byte =
          _mm512_shuffle_epi8(signs, q < 2 ? _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0)
                                           : _mm512_set4_epi32(0x0d0d0d0d, 0x09090909, 0x05050505, 0x01010101));
      const __mmask64 negative =
          _mm512_test_epi8_mask(byte, _mm512_set1_epi32(static_cast<int>(q % 2 == 0 ? 0x08040201 : 0x80402010)));
      quads[q] = _mm512_mask_sub_epi8(quads[q], negative, _mm512_setzero_si512(), quads[q]);
    }
  }

  __m512 squares() const {
    __m512i sum = _mm512_setzero_si512();
    for (const __m512i& packed : quads) {
      const __m512i magnitude = _mm512_abs_epi8(packed);
      sum = _mm512_dpbusd_epi32(sum, magnitude, magnitude);
    }
    return _mm512_cvtepi32_ps(sum);
  }

  // To 16 coordinates in each 128 bits: those of lane 4 l + j become quarter l of vector j.
  void transpose() {
    const __m512i low_left = _mm512_unpacklo_epi32(quads[0], quads[1]);
    const __m512i low_right = _mm512_unpacklo_epi32(quads[2], quads[3]);
    const __m512i high_left = _mm512_unpackhi_epi32(quads[0], quads[1]);
    const __m512i high_right = _mm512_unpackhi_epi32(quads[2], quads[3]);
    quads[0] = _mm512_unpacklo_epi64(low_left, low_right);
    quads[1] = _mm512_unpackhi_epi64(low_left, low_right);
    quads[2] = _mm512_unpacklo_epi64(high_left, high_right);
    quads[3] = _mm512_unpackhi_epi64(high_left, high_right);
  }
};

class BarnesWallDecoder {
  // Groups that are sorted at a time.
  static constexpr size_t block_groups = 128;

 public:
  explicit BarnesWallDecoder(const BarnesWallTables& tables)
      : tables_(tables), halved_(*tables.halved), odd_(*tables.odd_quads), spare_(tables.index.spare()) {
    const BarnesWallIndex& points = tables.index;
    const Range eights = small_halves(tables.eights, spare_, points.zeros_first() / 30 >> 7);
    spans_[eight_ones] = {eights.first * 30 << 7, eights.end * 30 << 7};
    if (halved_.pulses <= QuadTable::max_pulses) spans_[no_ones] = {points.zeros_first(), points.ones_first()};
    if (points.ones_first() < points.count()) {
      const Range ones = small_halves(tables.ones, spare_ - 4, (points.count() - points.ones_first()) >> 15);
      spans_[all_ones] = {points.ones_first() + (ones.first << 15), points.ones_first() + (ones.end << 15)};
    }
  }

  // Calls sink.take(const BarnesWallGroups&) with all groups of a segment, in whatever order.
  template <class Sink>
  void visit(const PvqCode& code, const uint8_t* codes, Sink& sink) const {
    const CodeReader reader(code.bits);
    const LevelReader levels(code);
    Queue queues[kinds];
    BarnesWallGroups groups;
    for (size_t block = 0; block < code.groups; block += block_groups) {
      // In loops of their own, reading and decoding overlap with themselves.
      for (size_t g = block; g < code.groups && g < block + block_groups; g += lanes, codes += 2 * code.bits) {
        const size_t count = code.groups - g;
        Wide index;
        const __m512 level = levels.read(reader.read(codes, count), &index);
        auto left = static_cast<__mmask16>(count >= lanes ? 0xffff : (1u << count) - 1);
        for (int kind = 0; kind < kinds; ++kind) {
          const __mmask16 chosen = left & (kind == others ? 0xffff : spans_[kind].holds(index));
          left = static_cast<__mmask16>(left & ~chosen);
          queues[kind].push(chosen, index, level, static_cast<uint32_t>(g));
        }
      }
      const bool last = block + block_groups >= code.groups;
      for (int kind = 0; kind < kinds; ++kind) {
        Queue& queue = queues[kind];
        size_t first = 0;
        for (; first + (last ? 1 : lanes) <= queue.count; first += lanes) decode(kind, queue, first, groups, sink);
        queue.drop(first);
      }
    }
  }

 private:
  // By the ones in the word; others: those that the portable decoder is for.
  enum Kind { eight_ones, no_ones, all_ones, others, kinds };

  struct Range {
    uint64_t first = 0, end = 0;

    __mmask16 holds(const Wide& index) const {
      const __m512i from = _mm512_set1_epi64(static_cast<long long>(first));
      const __m512i size = _mm512_set1_epi64(static_cast<long long>(end - first));
      return static_cast<__mmask16>(_mm512_cmplt_epu64_mask(_mm512_sub_epi64(index.low, from), size) |
                                    _mm512_cmplt_epu64_mask(_mm512_sub_epi64(index.high, from), size) << 8);
    }
  };

  // Groups of one kind, waiting to be 16.
  struct Queue {
    static constexpr size_t capacity = block_groups + 2 * lanes;
    uint64_t index[capacity];
    float level[capacity];
    uint32_t place[capacity];
    size_t count = 0;

    void push(__mmask16 chosen, const Wide& indices, __m512 levels, uint32_t first_place) {
      const auto low = static_cast<__mmask8>(chosen), high = static_cast<__mmask8>(chosen >> 8);
      const __m512i places = _mm512_add_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                              _mm512_set1_epi32(static_cast<int>(first_place)));
      _mm512_storeu_si512(index + count, _mm512_maskz_compress_epi64(low, indices.low));
      _mm512_storeu_si512(index + count + __builtin_popcount(low), _mm512_maskz_compress_epi64(high, indices.high));
      _mm512_storeu_ps(level + count, _mm512_maskz_compress_ps(chosen, levels));
      _mm512_storeu_si512(place + count, _mm512_maskz_compress_epi32(chosen, places));
      count += static_cast<size_t>(__builtin_popcount(chosen));
    }

    // Up to 16 groups from `first` on; returns their indices, and `otherwise` in the lanes that are left over.
    Wide read(size_t first, BarnesWallGroups& groups, uint64_t otherwise) const {
      groups.count = count - first < lanes ? count - first : lanes;
      const auto real = static_cast<__mmask16>((1u << groups.count) - 1);
      const __m512i other = _mm512_set1_epi64(static_cast<long long>(otherwise));
      groups.levels = _mm512_maskz_loadu_ps(real, level + first);
      _mm512_store_si512(groups.places, _mm512_maskz_loadu_epi32(real, place + first));
      return {_mm512_mask_loadu_epi64(other, static_cast<__mmask8>(real), index + first),
              _mm512_mask_loadu_epi64(other, static_cast<__mmask8>(real >> 8), index + first + lanes / 2)};
    }

    // Forgets the first groups, all but 15 or fewer.
    void drop(size_t first) {
      count = first < count ? count - first : 0;
      memcpy(index, index + first, lanes * sizeof(index[0]));
      memcpy(level, level + first, lanes * sizeof(level[0]));
      memcpy(place, place + first, lanes * sizeof(place[0]));
    }
  };

  // The indices of a root with k pulses and `count` points both of whose halves have at most 31.
  static Range small_halves(const TreeLevel& root, int k, uint64_t count) {
    constexpr int most = QuadTable::max_pulses;
    return k <= most ? Range{0, count} : Range{root.offsets[k - most], root.offsets[most + 1]};
  }

  template <class Sink>
  void decode(int kind, const Queue& queue, size_t first, BarnesWallGroups& groups, Sink& sink) const {
    const Wide in_order = queue.read(first, groups, spans_[kind].first);
    if (kind == others) {
      decode_portably(in_order, groups);
    } else {
      // Lanes are dealt out as transpose() gathers them in.
      const __m512i low = _mm512_set_epi64(13, 9, 5, 1, 12, 8, 4, 0),
                    high = _mm512_set_epi64(15, 11, 7, 3, 14, 10, 6, 2);
      const Wide index = {_mm512_permutex2var_epi64(in_order.low, low, in_order.high),
                          _mm512_permutex2var_epi64(in_order.low, high, in_order.high)};
      if (kind == eight_ones) decode_eight_ones(index, groups);
      if (kind == no_ones) decode_no_ones(index, groups);
      if (kind == all_ones) decode_all_ones(index, groups);
    }
    sink.take(groups);
  }

  void decode_eight_ones(const Wide& index, BarnesWallGroups& groups) const {
    Wide word;
    const Wide inner = {divide_by_words(index.low, &word.low), divide_by_words(index.high, &word.high)};
    const Halves halves = split_root(tables_.eights, spare_, _mm512_set1_epi32(spare_), inner);
    PackedPoints points;
    walk_small_eights(tables_.odd, odd_, tables_.even, halved_.quads, 0, halves, points);
    points.double_from(2);
    points.apply_signs(with_last_sign(_mm512_and_si512(narrow(index), _mm512_set1_epi32(127)), 7), 2);
    groups.squares = in_order(points.squares());
    points.transpose();
    alignas(64) uint32_t words[lanes];
    _mm512_store_si512(words, narrow(word));
    for (int j = 0; j < 4; ++j) {
      const auto sources = [&](int quarter) {
        return _mm_load_si128(reinterpret_cast<const __m128i*>(tables_.sources[words[4 * quarter + j]]));
      };
      __m512i shuffle = _mm512_castsi128_si512(sources(0));
      shuffle = _mm512_inserti32x4(shuffle, sources(1), 1);
      shuffle = _mm512_inserti32x4(shuffle, sources(2), 2);
      shuffle = _mm512_inserti32x4(shuffle, sources(3), 3);
      _mm512_store_si512(groups.coordinates[4 * j], _mm512_shuffle_epi8(points.quads[j], shuffle));
    }
  }

  void decode_no_ones(const Wide& index, BarnesWallGroups& groups) const {
    PackedPoints points;
    walk<16, true>(halved_, _mm512_set1_epi32(halved_.pulses), behind(index, tables_.index.zeros_first()), points);
    points.double_from(0);
    keep(points, groups);
  }

  void decode_all_ones(const Wide& index, BarnesWallGroups& groups) const {
    const Wide rest = behind(index, tables_.index.ones_first());
    const Wide rank = {_mm512_srli_epi64(rest.low, 15), _mm512_srli_epi64(rest.high, 15)};
    const int pulses = spare_ - 4;
    PackedPoints points;
    walk_small_eights(tables_.odd, odd_, tables_.odd, odd_, 0,
                      split_root(tables_.ones, pulses, _mm512_set1_epi32(pulses), rank), points);
    points.apply_signs(with_last_sign(_mm512_and_si512(narrow(rest), _mm512_set1_epi32(0x7fff)), 15), 4);
    keep(points, groups);
  }

  void decode_portably(const Wide& index, BarnesWallGroups& groups) const {
    uint64_t indices[lanes];
    float squares[lanes] = {};
    _mm512_storeu_si512(indices, index.low);
    _mm512_storeu_si512(indices + lanes / 2, index.high);
    for (size_t g = 0; g < lanes; ++g) {
      float x[16];
      decode_barnes_wall_point(tables_, indices[g], x);
      for (int i = 0; i < 16; ++i) {
        groups.coordinates[g][i] = static_cast<int8_t>(x[i]);
        squares[g] += x[i] * x[i];
      }
    }
    groups.squares = _mm512_loadu_ps(squares);
  }

  static Wide behind(const Wide& index, uint64_t first) {
    const __m512i from = _mm512_set1_epi64(static_cast<long long>(first));
    return {_mm512_sub_epi64(index.low, from), _mm512_sub_epi64(index.high, from)};
  }

  static __m512 in_order(__m512 dealt) {
    return _mm512_permutexvar_ps(_mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0), dealt);
  }

  static void keep(PackedPoints& points, BarnesWallGroups& groups) {
    groups.squares = in_order(points.squares());
    points.transpose();
    for (int j = 0; j < 4; ++j) _mm512_store_si512(groups.coordinates[4 * j], points.quads[j]);
  }

  // index = (inner 30 + w) 2^7 + signs, that is, (inner 15 + r) 2^8 + ..., w = 2 r + bit 7. As 16 = 1 mod 15, r is the
  // sum of hexadecimal digits mod 15; then the division is exact, a product with the inverse of 15 modulo 2^64.
  static __m512i divide_by_words(__m512i index, __m512i* word) {
    const __m512i words = _mm512_srli_epi64(index, 8), digit = _mm512_set1_epi8(15);
    const __m512i pairs =
        _mm512_add_epi8(_mm512_and_si512(words, digit), _mm512_and_si512(_mm512_srli_epi64(words, 4), digit));
    // At most 14 * 15, where 4370 / 2^16 is near enough to 1/15.
    const __m512i sum = _mm512_sad_epu8(pairs, _mm512_setzero_si512());
    const __m512i fifteenth = _mm512_srli_epi64(_mm512_mul_epu32(sum, _mm512_set1_epi64(4370)), 16);
    const __m512i r = _mm512_sub_epi64(sum, _mm512_sub_epi64(_mm512_slli_epi64(fifteenth, 4), fifteenth));
    const __m512i b = _mm512_and_si512(_mm512_srli_epi64(index, 7), _mm512_set1_epi64(1));
    *word = _mm512_add_epi64(_mm512_add_epi64(r, r), b);
    return _mm512_mullo_epi64(_mm512_sub_epi64(words, r),
                              _mm512_set1_epi64(static_cast<long long>(0xeeeeeeeeeeeeeeef)));
  }

  // The parity of all signs is that of K/2, and of T.
  __m512i with_last_sign(__m512i signs, unsigned last) const {
    __m512i parity = _mm512_xor_si512(signs, _mm512_srli_epi32(signs, 8));
    for (unsigned shift : {4, 2, 1}) parity = _mm512_xor_si512(parity, _mm512_srli_epi32(parity, shift));
    parity = _mm512_and_si512(_mm512_xor_si512(parity, _mm512_set1_epi32(spare_)), _mm512_set1_epi32(1));
    return _mm512_or_si512(signs, _mm512_slli_epi32(parity, last));
  }

  const BarnesWallTables& tables_;
  Lookup halved_;
  Quads odd_;
  int spare_;
  Range spans_[kinds];
};

}  // namespace
}  // namespace pyramidion
