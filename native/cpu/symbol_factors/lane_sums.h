// The sums of a row's products, 16 lanes in vectors of a part of them each.
//
// Included behind avx2.h or neon.h, which have the vectors. Everything has internal linkage: see lanes.h of the search.
#pragma once

namespace pyramidion {
namespace {

class LaneSums {
 public:
  explicit LaneSums(const float* lanes) {
    for (size_t p = 0; p < parts; ++p) sums_[p] = load_floats(lanes + p * part_groups);
  }

  // Adds a block's products. left(p, q), right(p, q): what dot() takes in the place of the pulses and inputs of quad q
  // of part p.
  template <int Quads, class Left, class Right>
  inline __attribute__((always_inline)) void add(const SymbolFactors& factors, const Symbols& symbols, const Left& left,
                                                 const Right& right) {
    Sums dots[parts], squares[parts];
    for (size_t p = 0; p < parts; ++p) {
      Bytes pulses[Quads], inputs[Quads];
      for (size_t q = 0; q < Quads; ++q) {
        pulses[q] = left(p, q);
        inputs[q] = right(p, q);
      }
      dots[p] = dot<Quads>(pulses, inputs);
      squares[p] = dot<Quads>(pulses, pulses);
    }
    Floats factor[parts];
    factors.read(symbols, squares, factor);
    add(dots, factor);
  }

  void add(const Sums (&dots)[parts], const Floats (&factors)[parts]) {
    for (size_t p = 0; p < parts; ++p) sums_[p] = multiply_add(floats_of(dots[p]), factors[p], sums_[p]);
  }

  void store(float* lanes) const {
    for (size_t p = 0; p < parts; ++p) store_floats(lanes + p * part_groups, sums_[p]);
  }

 private:
  Floats sums_[parts];
};

}  // namespace
}  // namespace pyramidion
