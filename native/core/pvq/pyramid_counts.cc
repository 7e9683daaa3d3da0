#include "core/pvq/pyramid_counts.h"

#include <cstdlib>
#include <string>

#include "core/error.h"

namespace pyramidion {
namespace {

// d is a power of two.
int log2_of(int d) { return __builtin_ctz(static_cast<unsigned>(d)); }

// N(4,k) = 8 k (k^2 + 2) / 3, N(2,k) = 4 k, N(1,k) = 2, and N(d,0) = 1.
uint64_t small_count(int d, uint64_t k) {
  if (k == 0) return 1;
  if (d == 1) return 2;
  if (d == 2) return 4 * k;
  return 8 * k * (k * k + 2) / 3;
}

}  // namespace

PyramidCounts::PyramidCounts(int dimension, int pulses) : dimension_(dimension), pulses_(pulses) {
  if (dimension < 1 || dimension > max_dimension || (dimension & (dimension - 1)) != 0) {
    throw Error("INVALID_ARGUMENT", "dimension must be a power of two from 1 to 32, got " + std::to_string(dimension));
  }
  if (pulses < 0 || pulses > max_pulses) {
    throw Error("INVALID_ARGUMENT", "pulses must be between 0 and 32767, got " + std::to_string(pulses));
  }
  for (int d = 8; d <= dimension; d *= 2) {
    std::vector<uint64_t>& counts = counts_[log2_of(d)];
    std::vector<uint64_t>& offsets = offsets_[log2_of(d)];
    counts.assign(pulses + 1, 0);
    for (int k = d == dimension ? pulses : 0; k <= pulses; ++k) {
      unsigned __int128 sum = 0;
      for (int j = 0; j <= k; ++j) {
        offsets.push_back(static_cast<uint64_t>(sum));
        sum += static_cast<unsigned __int128>(count(d / 2, j)) * count(d / 2, k - j);
        // N grows with d and k, so an inner count that overflows means that N(D,K) does.
        if (sum >> 64 != 0) {
          throw Error("INVALID_ARGUMENT", "pulses is too large: the " + std::to_string(dimension) +
                                              "-dimensional points with " + std::to_string(pulses) +
                                              " pulses are more than 64 bits can number");
        }
      }
      counts[k] = static_cast<uint64_t>(sum);
    }
  }
  count_ = count(dimension, pulses);
}

uint64_t PyramidCounts::count(int d, int k) const {
  return d <= 4 ? small_count(d, static_cast<uint64_t>(k)) : counts_[log2_of(d)][k];
}

uint64_t PyramidCounts::offset(int d, int k, int j) const {
  if (j == 0) return 0;
  const uint64_t pulses = k, left = j;
  if (d == 2) return 4 * left - 2;
  // The sum of N(2,t) N(2,k-t) = 16 t (k-t) over 0 < t < j, and 4 k for t = 0.
  if (d == 4) return 4 * pulses + 8 * left * (left - 1) * (3 * pulses - 2 * left + 1) / 3;
  const size_t row = d == dimension_ ? 0 : static_cast<size_t>(k) * (k + 1) / 2;
  return offsets_[log2_of(d)][row + j];
}

int PyramidCounts::left_pulses(int d, int k, uint64_t index) const {
  int low = 0, high = k;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (offset(d, k, middle) <= index) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

bool PyramidCounts::contains(const int16_t* point) const {
  int sum = 0;
  for (int i = 0; i < dimension_; ++i) sum += std::abs(static_cast<int>(point[i]));
  return sum == pulses_;
}

// All nodes of a level before the next one; encoders spend much of their time here, so everything below eight
// dimensions is a closed form without branches.
template <int D>
uint64_t PyramidCounts::index_of_tree(const int16_t* point) const {
  int k[D / 2];
  uint64_t index[D / 2];
  for (int node = 0; node < D / 2; ++node) {
    const int left = point[2 * node], right = point[2 * node + 1];
    const int j = std::abs(left), rest = std::abs(right);
    // As offset(2,k,j); the sign of a left half alone comes first.
    index[node] = static_cast<uint64_t>(4 * j - 2 * (j != 0) + (left < 0) * (1 + (rest != 0)) + (right < 0));
    k[node] = j + rest;
  }
  if constexpr (D >= 4) {
    for (int node = 0; node < D / 4; ++node) {
      const auto j = static_cast<uint64_t>(k[2 * node]), rest = static_cast<uint64_t>(k[2 * node + 1]), all = j + rest;
      // As offset(4,k,j): the division by 3 is exact, so a product with its inverse modulo 2^64.
      const uint64_t beyond = 8 * j * (j - 1) * (3 * all - 2 * j + 1) * 0xaaaaaaaaaaaaaaab;
      const uint64_t offset_of_j = (4 * all + beyond) & (0 - static_cast<uint64_t>(j != 0));
      index[node] = offset_of_j + index[2 * node] * (4 * rest + (rest == 0)) + index[2 * node + 1];
      k[node] = static_cast<int>(all);
    }
  }
  return index_above_quads<D>(index, k);
}

template <int D>
uint64_t PyramidCounts::index_above_quads(uint64_t* index, int* k) const {
  for (int d = 8; d <= D; d *= 2) {
    for (int node = 0; node < D / d; ++node) {
      const int j = k[2 * node], rest = k[2 * node + 1];
      index[node] = offset(d, j + rest, j) + index[2 * node] * count(d / 2, rest) + index[2 * node + 1];
      k[node] = j + rest;
    }
  }
  return index[0];
}

template <int D>
void PyramidCounts::index_of_quads(const uint32_t* quad_indices, const uint32_t* quad_pulses, size_t count,
                                   uint64_t* indices) const {
  for (size_t g = 0; g < count; ++g) {
    uint64_t index[D / 4];
    int k[D / 4];
    for (int quad = 0; quad < D / 4; ++quad) {
      index[quad] = quad_indices[quad * count + g];
      k[quad] = static_cast<int>(quad_pulses[quad * count + g]);
    }
    indices[g] = index_above_quads<D>(index, k);
  }
}

void PyramidCounts::index_of_quads(const uint32_t* quad_indices, const uint32_t* quad_pulses, size_t count,
                                   uint64_t* indices) const {
  switch (dimension_) {
    case 4:
      return index_of_quads<4>(quad_indices, quad_pulses, count, indices);
    case 8:
      return index_of_quads<8>(quad_indices, quad_pulses, count, indices);
    case 16:
      return index_of_quads<16>(quad_indices, quad_pulses, count, indices);
    default:
      return index_of_quads<32>(quad_indices, quad_pulses, count, indices);
  }
}

uint64_t PyramidCounts::index_of(const int16_t* point, int dimension) const {
  switch (dimension) {
    case 1:
      return point[0] < 0 ? 1 : 0;
    case 2:
      return index_of_tree<2>(point);
    case 4:
      return index_of_tree<4>(point);
    case 8:
      return index_of_tree<8>(point);
    case 16:
      return index_of_tree<16>(point);
    default:
      return index_of_tree<32>(point);
  }
}

void PyramidCounts::point_of(uint64_t index, int16_t* point, int dimension, int pulses) const {
  int k[max_dimension];
  uint64_t indices[max_dimension];
  k[0] = pulses;
  indices[0] = index;
  for (int d = dimension; d > 1; d /= 2) {
    // From the last node down, so that a node is read before its children overwrite it.
    for (int node = dimension / d - 1; node >= 0; --node) {
      const int j = left_pulses(d, k[node], indices[node]);
      const uint64_t rest = indices[node] - offset(d, k[node], j);
      const uint64_t right_count = count(d / 2, k[node] - j);
      k[2 * node + 1] = k[node] - j;
      k[2 * node] = j;
      indices[2 * node + 1] = rest % right_count;
      indices[2 * node] = rest / right_count;
    }
  }
  for (int i = 0; i < dimension; ++i) point[i] = static_cast<int16_t>(indices[i] == 0 ? k[i] : -k[i]);
}

}  // namespace pyramidion
