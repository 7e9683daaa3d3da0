// Calibrated rounding of PVQ groups: rounds the groups of a row one after another so that the error of the whole row is
// least under the layer's Hessian H, (w - q)' H (w - q), rather than under the identity. Two kinds of sweep share one
// form:
//
// - error feedback (GPTQ, arXiv 2210.17323; LDLQ of QuIP, arXiv 2307.13304): with H = R R', R upper triangular, the
// error is
//   sum_g || d_g R_gg + a_g ||^2, d = w - q, a_g = sum_{f<g} d_f R_fg, so group g aims at w_g + a_g R_gg^-1;
// - coordinate descent: every group again, all others fixed, aiming at w_g + H_gg^-1 sum_{f != g} H_gf d_f.
//
// One row of the matrix a lane: all rows of a layer share H, so every coefficient is a broadcast.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/pvq/pyramid.h"
#include "cpu/instruction_set.h"

namespace pyramidion {

// One group of D consecutive columns, in the order in which groups are rounded.
struct GuidedGroup {
  // D: 2..32; K; the L gain levels, ascending, relative to the row scale.
  Pyramid pyramid;
  const float* levels;
  size_t level_count;
  // D x D, symmetric: the error of the group, up to a factor: R_gg R_gg' or H_gg.
  const float* metric;
  // D x D, row-major: the group aims at  w + inverse' accumulator - d;  R_gg^-1 or H_gg^-1.
  const float* inverse;
  // D rows of a matrix: what a change of d adds to the accumulators of the columns from first_coupled on. It is stored
  // in panels, which products read from one end to the other: coupling_panel columns of all rows, row after row;
  // panel_stride floats from one panel to the next.
  const float* coupling;
  size_t panel_stride, first_coupled, coupled_columns;
};

constexpr size_t coupling_panel = 64;

// What the group's first coordinate adds to a column; that of the next coordinate is coupling_panel floats further.
// Internal, so that code compiled for one instruction set is never merged with that for another.
static inline const float* coupling_to(const GuidedGroup& group, size_t column) {
  return group.coupling + column / coupling_panel * group.panel_stride + column % coupling_panel;
}

// The state of `count` rows, a multiple of `lanes`. What is searched is stored a vector's rows after another, each
// column after column (or group after group) with a row a lane; what products add to is stored row by row, a row every
// `stride` floats.
struct GuidedRows {
  size_t count, columns, stride;
  // columns x lanes for every `lanes` rows.
  const float* targets;
  // d = w - q, zero before the first sweep; as targets.
  float* differences;
  // count x columns, in rows.
  float* accumulators;
  // One a row, > 0.
  const float* scales;
  // As targets; groups x lanes for every `lanes` rows.
  int16_t* points;
  uint16_t* levels;
};

struct GuidedKernel {
  InstructionSet instruction_set;
  size_t lanes;
  // One sweep over all groups. moves: at most so many pulse moves a group. start: begin each group where the
  // Euclidean search does, without moves where that ends; otherwise at the point it has, and where that stays, so do
  // the differences.
  void (*sweep)(const GuidedGroup* groups, size_t group_count, int moves, bool start, const GuidedRows& rows);
  // Adds what changes, rows x columns, contribute to accumulators, rows x columns, rows of both `stride` floats apart;
  // rows: any number.
  void (*accumulate)(const GuidedGroup* groups, size_t group_count, const float* changes, size_t rows, size_t columns,
                     size_t stride, float* accumulators);
};

// Best first; the last one runs everywhere.
const std::vector<GuidedKernel>& guided_kernels();

// The first of them that `set` covers.
const GuidedKernel& guided_kernel(InstructionSet set = instruction_set());

}  // namespace pyramidion
