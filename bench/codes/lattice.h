// The lattices whose pyramids are simulated, and the cost of a coordinate: see pyramids.cc.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

constexpr int kMaxCost = 256;
constexpr int kMaxMagnitude = 256;

/** Coordinate i is in the class residue(i) + step Z, and sum (x_i - residue(i)) / step has the given parity where the lattice asks for one. */
struct Word {
  uint32_t bits = 0;
  int base = 0, parity = 0;
};

struct Lattice {
  int dimension = 16;
  int step = 1;
  std::vector<Word> words{Word{}};
  bool parity = false;

  int residue(const Word& word, int i) const { return word.base + (static_cast<int>(word.bits >> i) & 1) * step / 2; }
};

inline Lattice makeLattice(const std::string& name, int dimension) {
  Lattice lattice;
  lattice.dimension = dimension;
  if (name == "plain") return lattice;
  lattice.parity = name != "odd";
  lattice.step = 2;
  lattice.words.clear();
  if (name == "odd" || name == "e8") {
    lattice.dimension = 8;
    lattice.words = {{0}, {0xff}};
  } else if (name == "barnes-wall") {
    lattice.dimension = 16;
    for (int a = 0; a < 16; a++) {
      for (int b = 0; b < 2; b++) {
        Word word;
        for (int i = 0; i < 16; i++) word.bits |= static_cast<uint32_t>(__builtin_parity(a & i) ^ b) << i;
        lattice.words.push_back(word);
      }
    }
  } else if (name == "leech") {
    lattice.dimension = 24;
    lattice.step = 4;
    for (uint32_t message = 0; message < 4096; message++) {
      uint32_t golay = 0;
      for (int i = 0; i < 12; i++) golay ^= (message >> i) & 1 ? 0xc75u << i : 0;
      golay |= static_cast<uint32_t>(__builtin_parity(golay)) << 23;
      for (int base = 0; base < 2; base++) lattice.words.push_back({golay, base, base});
    }
  } else {
    std::exit(std::fprintf(stderr, "unknown lattice %s\n", name.c_str()));
  }
  return lattice;
}

struct Shape {
  int cost[kMaxMagnitude + 1];
  float value[kMaxMagnitude + 1];
};

inline Shape makeShape(const std::vector<double>& bends, double power) {
  Shape shape;
  for (int m = 0; m <= kMaxMagnitude; m++) {
    shape.cost[m] = m;
    for (double bend : bends) shape.cost[m] += std::max(0, m - static_cast<int>(bend));
    shape.value[m] = static_cast<float>(std::pow(m, power));
  }
  return shape;
}

inline std::vector<double> numbers(const std::string& list) {
  std::vector<double> values;
  for (const char* at = list.c_str(); *at;) {
    char* end;
    values.push_back(std::strtod(at, &end));
    if (end == at) std::exit(std::fprintf(stderr, "not a list of numbers: %s\n", list.c_str()));
    at = *end == ',' ? end + 1 : end;
  }
  return values;
}
