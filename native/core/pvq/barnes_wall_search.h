// The search on the Barnes-Wall pyramid. In units of two, y = x/2, each of the 32 words of RM(1,4) is a pyramid of its
// own: sum |y_i| = K/2, y_i whole where the word has a zero and half an odd number where it has a one, moved pulse by
// pulse like any other (core/pvq/pulse_group.h). All words are scored by rounding alone; the few best are searched.
//
// The condition on the sum fixes the parity of the number of negative odd coordinates. Where the signs of w do not have
// it, the smallest of them is given the other sign.
#pragma once

#include <cstdint>

namespace pyramidion {

// Words that are searched. Against all of them the error grows by 0.4 % at 2 bits a weight and 0.05 % at 3. With fewer
// than 16 pulses rounding says little, and all words but the two that may have no point are searched.
constexpr int barnes_wall_candidates = 6;
constexpr int barnes_wall_candidates_below_16 = 30;
// A word's score is the squared distance of the rounded group, and this much times the square of the pulses it has too
// many or too few. Measured: anything from 0.025 to 0.09 serves.
constexpr float barnes_wall_correction_cost = 0.0375f;
// Beyond any score.
constexpr float barnes_wall_no_score = 1e30f;

// group: 16 finite values; pulses K: even, 8..BarnesWallIndex::max_pulses; point: 16 coordinates.
void search_barnes_wall(const float* group, int pulses, int16_t* point);

}  // namespace pyramidion
