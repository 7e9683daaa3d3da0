// What the direction of a group may be: a point of a pyramid, the points p of a lattice in Z^D with sum |p_i| = K.
#pragma once

namespace pyramidion {

enum class Lattice {
  // All of Z^D.
  integer,
  // The Barnes-Wall lattice in Z^16: x mod 2 is a word of the Reed-Muller code RM(1,4), sum x = 0 mod 4.
  barnes_wall,
};

struct Pyramid {
  // D and K.
  int dimension, pulses;
  Lattice lattice = Lattice::integer;
};

}  // namespace pyramidion
