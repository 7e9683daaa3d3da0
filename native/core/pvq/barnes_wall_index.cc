#include "core/pvq/barnes_wall_index.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "core/error.h"
#include "core/pvq/reed_muller.h"

namespace pyramidion {
namespace {

constexpr uint32_t all_ones = 0xffff;
// Coordinates that are odd in a word that is neither 0 nor 1.
constexpr int half = 8;

int checked(int pulses) {
  if (pulses >= 2 && pulses <= BarnesWallIndex::max_pulses && pulses % 2 == 0) return pulses;
  throw Error("INVALID_ARGUMENT", "pulses of a Barnes-Wall pyramid must be even and at most " +
                                      std::to_string(BarnesWallIndex::max_pulses) + ", got " + std::to_string(pulses));
}

uint32_t residues(const int16_t* point) {
  uint32_t word = 0;
  for (int i = 0; i < BarnesWallIndex::dimension; ++i) word |= static_cast<uint32_t>(point[i] & 1) << i;
  return word;
}

}  // namespace

BarnesWallIndex::BarnesWallIndex(int pulses)
    : pulses_(checked(pulses)),
      spare_((pulses - half) / 2),
      compositions_(std::max(spare_, 0)),
      halved_(16, pulses / 2) {
  uint64_t inner = 0;
  for (int t = 0; t <= spare_; ++t) {
    offsets_.push_back(inner);
    inner += compositions_.count(half, t) * halved_.count(half, spare_ - t);
  }
  zeros_first_ = inner * (reed_muller_words - 2) << (half - 1);
  ones_first_ = zeros_first_ + (pulses % 4 == 0 ? halved_.count() : 0);
  ones_count_ = pulses < dimension ? 0 : compositions_.count(dimension, (pulses - dimension) / 2) << (dimension - 1);
}

bool BarnesWallIndex::contains(const int16_t* point) const {
  int sum = 0, magnitudes = 0;
  for (int i = 0; i < dimension; ++i) {
    sum += point[i];
    magnitudes += std::abs(static_cast<int>(point[i]));
  }
  return magnitudes == pulses_ && sum % 4 == 0 && reed_muller_number(residues(point)) >= 0;
}

uint64_t BarnesWallIndex::signs_of(const int* odd, int d) {
  uint64_t signs = 0;
  for (int i = 0; i < d - 1; ++i) signs |= static_cast<uint64_t>(odd[i] < 0 ? 1 : 0) << i;
  return signs;
}

void BarnesWallIndex::apply_signs(uint64_t signs, int* odd, int d) const {
  signs |= static_cast<uint64_t>((__builtin_popcountll(signs) + pulses_ / 2) & 1) << (d - 1);
  for (int i = 0; i < d; ++i) odd[i] = (signs >> i & 1) != 0 ? -odd[i] : odd[i];
}

uint64_t BarnesWallIndex::index_of(const int16_t* point) const {
  const uint32_t word = residues(point);
  if (word == 0) {
    int16_t halves[dimension];
    for (int i = 0; i < dimension; ++i) halves[i] = static_cast<int16_t>(point[i] / 2);
    return zeros_first_ + halved_.index_of(halves);
  }
  int odd[dimension], parts[dimension];
  int16_t even[half];
  int odds = 0, evens = 0;
  for (int i = 0; i < dimension; ++i) {
    if ((word >> i & 1) != 0) {
      parts[odds] = std::abs(static_cast<int>(point[i])) / 2;
      odd[odds++] = point[i];
    } else {
      even[evens++] = static_cast<int16_t>(point[i] / 2);
    }
  }
  const uint64_t rank = compositions_.rank_of(parts, odds), signs = signs_of(odd, odds);
  if (word == all_ones) return ones_first_ + (rank << (dimension - 1)) + signs;
  int left = 0;
  for (int part = 0; part < odds; ++part) left += parts[part];
  const uint64_t inner = offsets_[left] + rank * halved_.count(half, spare_ - left) + halved_.index_of(even, half);
  const uint64_t w = static_cast<uint64_t>(reed_muller_number(word) - 2);
  return (inner * (reed_muller_words - 2) + w) << (half - 1) | signs;
}

void BarnesWallIndex::point_of(uint64_t index, int16_t* point) const {
  int odd[dimension];
  int16_t even[half];
  uint32_t word = all_ones;
  if (index >= ones_first_) {
    const uint64_t rest = index - ones_first_;
    compositions_.parts_of(rest >> (dimension - 1), dimension, (pulses_ - dimension) / 2, odd);
    for (int& value : odd) value = 2 * value + 1;
    apply_signs(rest & ((uint64_t{1} << (dimension - 1)) - 1), odd, dimension);
  } else if (index >= zeros_first_) {
    halved_.point_of(index - zeros_first_, point);
    for (int i = 0; i < dimension; ++i) point[i] = static_cast<int16_t>(2 * point[i]);
    return;
  } else {
    const uint64_t words = index >> (half - 1), inner = words / (reed_muller_words - 2);
    word = reed_muller.word[words % (reed_muller_words - 2) + 2];
    const int t = static_cast<int>(std::upper_bound(offsets_.begin(), offsets_.end(), inner) - offsets_.begin()) - 1;
    const uint64_t rest = inner - offsets_[t], evens = halved_.count(half, spare_ - t);
    compositions_.parts_of(rest / evens, half, t, odd);
    for (int i = 0; i < half; ++i) odd[i] = 2 * odd[i] + 1;
    apply_signs(index & ((uint64_t{1} << (half - 1)) - 1), odd, half);
    halved_.point_of(rest % evens, even, half, spare_ - t);
  }
  const int* next_odd = odd;
  const int16_t* next_even = even;
  for (int i = 0; i < dimension; ++i) {
    point[i] = static_cast<int16_t>((word >> i & 1) != 0 ? *next_odd++ : 2 * *next_even++);
  }
}

}  // namespace pyramidion
