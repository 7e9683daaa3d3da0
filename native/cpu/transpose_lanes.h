// Between groups that lie one after another and groups in lanes, for vectors of any type.
//
// Everything has internal linkage: code compiled for one instruction set must never be merged with that for another.
#pragma once

#include <utility>

namespace pyramidion {
namespace {

template <class Vector>
constexpr int lanes_of = sizeof(Vector) / sizeof(Vector{}[0]);

template <class Vector>
using AllLanes = std::make_integer_sequence<int, lanes_of<Vector>>;

template <class Vector, int... lane>
Vector even_lanes(const Vector& low, const Vector& high, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(low, high, (2 * lane)...);
}

template <class Vector, int... lane>
Vector odd_lanes(const Vector& low, const Vector& high, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(low, high, (2 * lane + 1)...);
}

// Lanes of the two in turn, from lane `first` on.
template <int first, class Vector, int... lane>
Vector alternate_lanes(const Vector& even, const Vector& odd, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(even, odd, (first + lane / 2 + lane % 2 * lanes_of<Vector>)...);
}

// D vectors that hold as many groups of D as they have lanes, one after another, to vector i with coordinate i of every
// group. Each step takes the lowest bit of an element's place to the top.
template <int D, class Vector>
void groups_to_lanes(Vector* vectors) {
  for (int bit = 1; bit < D; bit *= 2) {
    Vector apart[D];
    for (int v = 0; v < D / 2; ++v) {
      apart[v] = even_lanes(vectors[2 * v], vectors[2 * v + 1], AllLanes<Vector>());
      apart[v + D / 2] = odd_lanes(vectors[2 * v], vectors[2 * v + 1], AllLanes<Vector>());
    }
    for (int v = 0; v < D; ++v) vectors[v] = apart[v];
  }
}

// And back. With as many vectors as lanes, a square is transposed.
template <int D, class Vector>
void lanes_to_groups(Vector* vectors) {
  for (int bit = 1; bit < D; bit *= 2) {
    Vector together[D];
    for (int v = 0; v < D / 2; ++v) {
      together[2 * v] = alternate_lanes<0>(vectors[v], vectors[v + D / 2], AllLanes<Vector>());
      together[2 * v + 1] = alternate_lanes<lanes_of<Vector> / 2>(vectors[v], vectors[v + D / 2], AllLanes<Vector>());
    }
    for (int v = 0; v < D; ++v) vectors[v] = together[v];
  }
}

}  // namespace
}  // namespace pyramidion
