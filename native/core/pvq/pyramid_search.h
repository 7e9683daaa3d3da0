// The pyramid search: for a group w of D weights, the point p of P(D,K) that maximises <w,p> / ||p|| (Fischer 1986,
// with the greedy correction and swaps of design section 3). This is the scalar reference; native/cpu/pvq_search runs
// the same operations on many groups at once and returns the same points bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyramidion {

// groups: count x D finite values, any scale; dimension D: 2, 4, 8, 16 or 32; pulses K: 1..32767; points: count x D.
// A group of zeros gets the point (0, ..., 0, K).
//
// With a = |w| K / sum|w| and q the point, both in the positive orthant, and e = a - q, maximising <a,q>^2 / ||q||^2 is
// minimising   f = E - h^2 / n,   E = ||e||^2,  h = <e,q>,  n = ||q||^2,
// where every quantity is small however large K is, so that single precision prices moves exactly enough. A pulse more
// or less at i changes (E, h, n) by (1 - 2e, -1 - (q-e), 1 + 2q) or (1 + 2e, -1 + (q-e), 1 - 2q).
void search_points(const float* groups, size_t count, int dimension, int pulses, int16_t* points);

}  // namespace pyramidion
