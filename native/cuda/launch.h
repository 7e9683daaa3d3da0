// What a launch of each kernel needs: plain structs, each the one argument of the kernels it is named after, and the
// shape of the launch. Both the host code that launches and the kernels include this file; it knows nothing of CUDA.
// Pointers are the device's.
//
// A weight matrix lies on the device as *row quads* (layout.h): the stored bit streams of four rows, interleaved word
// by word, so that a thread reads the codes of the same group of four rows with loads of 128 bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyramidion::cuda {

struct Shape {
  unsigned grid_x, grid_y, grid_z, threads;
  size_t dynamic_shared;
};

inline unsigned blocks_of(size_t count, size_t each) { return static_cast<unsigned>((count + each - 1) / each); }

// Tables of one integer-lattice code (D, K, L) with D = 8 or 16; device_tables() makes them. Rows of offsets are those
// of PyramidCounts; reciprocal(n) = floor((2^64 - 1) / n), of which the upper half of a product is the quotient or one
// less.
struct CodeTables {
  // D, K, L, and the bits of a code.
  int32_t dimension, pulses, level_count, bits;
  // N(D,K).
  uint64_t count, count_reciprocal;
  const float* levels;
  // D = 16: offset(16,K,j), j = 0..K; N(8,k) and its reciprocal, k = 0..K. Null for D = 8.
  const uint64_t *offsets16, *counts8, *reciprocals8;
  // offset(8,k,j): for D = 8 the row k = K, for D = 16 row k from k (k + 1) / 2 on.
  const uint64_t* offsets8;
  // Of N(4,k), k = 0..K.
  const uint64_t* reciprocals4;
  // floor((2^32 - 1) / N(2,k)), k = 0..K.
  const uint32_t* reciprocals2;
  // The largest power of two that is at most K: where binary searches for pulses begin.
  int32_t first_step;
};

// One segment of a matrix: rows x columns.
struct SegmentWeights {
  CodeTables tables;
  // quads() x quad_words() x 4 words.
  const uint32_t* codes;
  // f16 bits, one a row.
  const uint16_t* row_scale;
  uint32_t rows, columns, groups;
  // Words of a row's bit stream, with what a decoder reads beyond it: quad_words().
  uint32_t quad_words;
};

// Words of a row in a quad: the stream's, and two that a decoder may read beyond it.
inline uint32_t quad_words(size_t groups, int bits) {
  return static_cast<uint32_t>((groups * static_cast<size_t>(bits) + 31) / 32 + 2);
}
inline uint32_t quads(uint32_t rows) { return (rows + 3) / 4; }

// Inputs of a layer, tokens x stride values: floats, or f16 or int8 with a float scale a token (1 where null). values
// begin on 16 bytes, those of a segment at a multiple of eight, stride is a multiple of 16, and 16 values behind the
// last token's columns can be read, whatever they are. A segment's inputs begin at its first column.
struct Activations {
  const void* values;
  const float* token_scale;
  uint32_t stride;
};

// y += B t: B's rows are int8 with an f16 scale (as bits) for 16 columns of a row; t = A x, tokens x rank. rank 0:
// none.
struct LowRankUp {
  const int8_t* values;
  const uint16_t* scales;
  const float* projected;
  uint32_t rank;
};

// decode_gemv_d{8,16}_w{32,64}_{f32,i8}_t{1,8}: y = W x (+ B t) (+ bias), for one token or up to 8. w32: codes of
// at most 32 bits, w64: of 33 to 64.
struct GemvParameters {
  SegmentWeights weights;
  Activations x;
  LowRankUp up;
  // One an output, or null.
  const float* bias;
  // tokens x y_stride.
  float* y;
  uint32_t tokens, y_stride;
  // Whether to add to y: segments after the first.
  uint32_t accumulate;
};

constexpr unsigned kGemvThreads = 128;

inline Shape gemv_shape(uint32_t rows) { return {quads(rows), 1, 1, kGemvThreads, 0}; }

// A segment in pair codes (pair_codes.h): D = 8 and few pulses, rewritten for a faster product with a few tokens.
struct PairCodes {
  // quads() x quad_words x 4 words.
  const uint32_t* words;
  // PairLayout::table, table_words of it; from first_level on they are the levels.
  const uint32_t* table;
  uint32_t table_words, first_level;
  uint32_t columns, groups, quad_words;
  uint32_t bits, fraction_bits;
  // Offsets in bytes: of the pairs' pulses in `table`, of the level.
  uint32_t composition_shift, composition_mask, level_shift, level_mask;
};

// What a product with a few tokens does with the sums over a row's groups.
struct GemvOutputs {
  const uint16_t* row_scale;
  uint32_t rows;
  Activations x;
  LowRankUp up;
  const float* bias;
  float* y;
  uint32_t tokens, y_stride;
  uint32_t accumulate;
};

// pair_gemv_i8_t{1,8}: y = W x (+ B t) (+ bias) for int8 inputs, one token or up to 8. Inputs from the last column to
// the end of its group must be zero.
struct PairGemvParameters {
  PairCodes codes;
  GemvOutputs outputs;
};

inline Shape pair_gemv_shape(const PairCodes& codes, uint32_t rows) {
  return {quads(rows), 1, 1, kGemvThreads, size_t{codes.table_words} * 4};
}

// decode_rows_d{8,16}_w{32,64}: rows [first_row, first_row + row_count) of a segment as halves, their scales left out.
struct DecodeParameters {
  SegmentWeights weights;
  // halves, row r at (r - first_row) * stride, a multiple of eight: zeros from the last column on.
  void* out;
  uint32_t first_row, row_count, stride;
};

constexpr unsigned kDecodeThreads = 128;

// A warp takes 32 groups of four rows. first_row is a multiple of four.
inline Shape decode_shape(uint32_t row_count, uint32_t groups) {
  return {blocks_of(groups, kDecodeThreads), quads(row_count), 1, kDecodeThreads, 0};
}

// A segment as expanded codes (expanded_codes.h).
constexpr uint32_t kExpandedChunk = 16;

struct ExpandedCodes {
  // rows x chunks x kExpandedChunk, and the gains of each chunk.
  const int8_t* pulses;
  const float* gains;
  uint32_t columns, chunks;
};

// expanded_gemv_g{1,2,4}_{f32,i8}_t{1,8}: y = W x (+ B t) (+ bias) for one token or up to 8; g: gains a chunk. Where
// the number of columns is no multiple of four, floats up to the next must be finite.
struct ExpandedGemvParameters {
  ExpandedCodes codes;
  GemvOutputs outputs;
};

// expanded_rows_g{1,2,4}: as decode_rows.
struct ExpandedRowsParameters {
  ExpandedCodes codes;
  void* out;
  uint32_t first_row, stride;
};

// At most 65535 rows a launch.
inline Shape expanded_rows_shape(uint32_t row_count, uint32_t chunks) {
  return {blocks_of(chunks, kDecodeThreads), row_count, 1, kDecodeThreads, 0};
}

// half_gemm_{small,large}: y = W x (+ B t) (+ bias) for any number of tokens, inputs in f16, on the tensor cores. With
// more than one part, each of which takes a share of the columns, half_gemm_sum behind it adds them up.
struct HalfGemmParameters {
  // What decode_rows or expanded_rows made: halves, outputs.rows x weight_stride.
  const void* weights;
  uint32_t weight_stride, columns;
  GemvOutputs outputs;
  // parts x tokens x rows; not used by a single part.
  float* partial;
  // Parts of so many steps each; the last may have fewer.
  uint32_t parts, part_steps;
};

// Columns of a step.
constexpr uint32_t kHalfGemmStep = 64;

// A kernel's tile is a square of rows and tokens; steps in shared memory. Blocks share the columns of a tile as long as
// they are less than `busy`, which keep a large device busy; 0: they do not.
struct HalfGemmTile {
  unsigned side, threads, stages, busy;
};
constexpr HalfGemmTile kSmallTile{64, 128, 3, 512}, kLargeTile{128, 256, 3, 0};
// What a part has at least.
constexpr uint32_t kHalfGemmPartSteps = 8;

// Sets parts and part_steps, to the same for every device, so that the order of a sum is.
inline void share_columns(HalfGemmParameters& p, const HalfGemmTile& tile) {
  const uint32_t steps = blocks_of(p.columns, kHalfGemmStep);
  const uint32_t tiles = blocks_of(p.outputs.rows, tile.side) * blocks_of(p.outputs.tokens, tile.side);
  const uint32_t parts = tiles < tile.busy ? tile.busy / tiles : 1, even = blocks_of(steps, parts);
  p.part_steps = parts == 1 || even > kHalfGemmPartSteps ? even : kHalfGemmPartSteps;
  p.parts = blocks_of(steps, p.part_steps);
}
// Of HalfGemmParameters::partial, for any number of rows and tokens: a tile for each block.
constexpr size_t kHalfGemmPartialBytes = size_t{kSmallTile.busy} * kSmallTile.side * kSmallTile.side * sizeof(float);

inline Shape half_gemm_shape(const HalfGemmParameters& p, const HalfGemmTile& tile) {
  return {blocks_of(p.outputs.rows, tile.side), blocks_of(p.outputs.tokens, tile.side), p.parts, tile.threads,
          size_t{2} * tile.side * kHalfGemmStep * tile.stages * 2};
}

constexpr unsigned kHalfGemmSumThreads = 256;

inline Shape half_gemm_sum_shape(const HalfGemmParameters& p) {
  return {blocks_of(p.outputs.rows, kHalfGemmSumThreads), p.outputs.tokens, 1, kHalfGemmSumThreads, 0};
}

// t = A x: A's rows are int8 with an f16 scale (as bits) for 16 columns; projected: tokens x rank. rank 0: none.
struct LowRankDown {
  const int8_t* values;
  const uint16_t* scales;
  float* projected;
  uint32_t rank;
};

// mix_inputs: out = (M (x) I) diag(signs) x, the part of V with a matrix; both tokens x width.
struct MixParameters {
  const float* x;
  // As in RotateParameters; M: order x order, width = order 2^block_log2.
  const float *scaled_signs, *matrix;
  float* out;
  uint32_t width, order, block_log2;
};

constexpr unsigned kMixThreads = 128;

inline Shape mix_shape(uint32_t tokens, uint32_t width) {
  return {blocks_of(width, kMixThreads), tokens, 1, kMixThreads, 0};
}

// rotate_inputs_{f32,f16,i8,i8_f16}: x' = V x, rounded to the format of the activations, and t = A x'; i8_f16: what i8
// would store, as halves.
struct RotateParameters {
  // tokens x width.
  const float* x;
  // The signs of V, each times 2^(-block_log2 / 2), or null where mix_inputs took them or V is the identity (then
  // block_log2 is 0).
  const float* scaled_signs;
  uint32_t width, block_log2;
  // What Activations take: tokens x stride values, and the tokens' scales (null for f32).
  void* out;
  float* token_scale;
  uint32_t stride;
  LowRankDown down;
};

constexpr unsigned kRotateThreads = 256;
// Of shared memory, beside the inputs.
constexpr size_t kRotateStaticBytes = kRotateThreads / 32 * sizeof(float);

// The width is bounded by a block's shared memory: 4 bytes a value, and kRotateStaticBytes.
inline Shape rotate_shape(uint32_t tokens, uint32_t width, uint32_t rank) {
  // A warp takes two ranks or more, as long as the blocks are few.
  const unsigned shares = rank == 0 ? 1 : blocks_of(rank, 2 * kRotateThreads / 32);
  return {tokens, shares, 1, kRotateThreads, size_t{width} * sizeof(float)};
}

// Rounding a matrix of floats (rows x columns) to PVQ rows takes four kernels, over all segments of the rows.
struct EncodeSegment {
  CodeTables tables;
  uint32_t first_column, columns, groups;
  // Where the segment begins in a row of codes.
  uint32_t first_byte;
  // What the kernels leave for each other: rows x groups x D, rows x groups.
  int16_t* points;
  double* projections;
};

constexpr unsigned kEncodeThreads = 128;
constexpr uint32_t kEncodeSegments = 4;

// encode_norms: root mean squares of rows.
struct EncodeNormsParameters {
  const float* values;
  double* norms;
  uint32_t rows, columns;
};

inline Shape encode_norms_shape(uint32_t rows) {
  return {blocks_of(rows, kEncodeThreads / 8), 1, 1, kEncodeThreads, 0};
}

// encode_points_d{8,16}: of each group of a segment the nearest direction and the projection on it. row_columns: of all
// segments.
struct EncodePointsParameters {
  const float* values;
  const double* norms;
  EncodeSegment segment;
  uint32_t row_columns;
};

// At most 65535 rows a launch.
inline Shape encode_points_shape(uint32_t rows, uint32_t groups) {
  return {blocks_of(groups, kEncodeThreads), rows, 1, kEncodeThreads, 0};
}

// encode_scales: the f16 scale of each row.
struct EncodeScalesParameters {
  const double* norms;
  uint16_t* row_scale;
  uint32_t rows, segment_count;
  EncodeSegment segments[kEncodeSegments];
};

inline Shape encode_scales_shape(uint32_t rows) {
  return {blocks_of(rows, kEncodeThreads / 32), 1, 1, kEncodeThreads, 0};
}

// encode_codes_d{8,16}: a segment's codes, packed, into rows of row_bytes bytes.
struct EncodeCodesParameters {
  EncodeSegment segment;
  const uint16_t* row_scale;
  uint8_t* codes;
  size_t row_bytes;
};

// At most 65535 rows a launch.
inline Shape encode_codes_shape(uint32_t rows, uint32_t groups) {
  return {blocks_of(groups, size_t{kEncodeThreads} * 8), rows, 1, kEncodeThreads, 0};
}

// hessian_add: sums (width x width, lower triangle) += sum over tokens of weight x x'.
struct HessianParameters {
  // tokens x width.
  const float* x;
  // One a token, or null for ones.
  const float* weights;
  double* sums;
  uint32_t tokens, width;
};

constexpr unsigned kHessianThreads = 256;
constexpr uint32_t kHessianTile = 64;

inline Shape hessian_shape(uint32_t width) {
  const unsigned tiles = blocks_of(width, kHessianTile);
  return {tiles * (tiles + 1) / 2, 1, 1, kHessianThreads, 0};
}

// Calibrated rounding: as GuidedGroup and GuidedRows of native/cpu/guided_rounding/dispatch.h, on the device and with
// all rows of the matrix (or as many as one likes) where the CPU has lanes. Columns are those in the order of rounding.
//
// A sweep: for each block of consecutive groups of one dimension, guided_round, then guided_couple to the columns
// behind the block (feedback) or to all but the block's (coordinate descent), with changes =
// GuidedRoundParameters::changes. Sums over all columns, like d H: guided_couple with all columns' values as the
// changes, onto zeros.
struct GuidedGroup {
  uint32_t first_column, pulses, level_count;
  const float *levels, *metric, *inverse;
};

// Column after column (group after group), `count` rows beside each other.
struct GuidedRows {
  const float* targets;
  float *differences, *accumulators;
  float* scales;
  int16_t* points;
  uint16_t* levels;
  uint32_t count;
};

// guided_round_d{8,16}: groups first_group .. last_group - 1, whose columns are first_column .. last_column - 1.
struct GuidedRoundParameters {
  const GuidedGroup* groups;
  GuidedRows rows;
  // columns x columns: the factor R for feedback, H for coordinate descent.
  const float* coupling;
  // (last_column - first_column) x rows: what the block changed of the differences.
  float* changes;
  uint32_t columns, first_group, last_group, first_column, last_column;
  // Pulse moves a group, at most; whether groups start at the Euclidean search's point; whether errors go to columns
  // before, too.
  uint32_t moves, start, backward;
};

constexpr unsigned kGuidedThreads = 64;

inline Shape guided_round_shape(uint32_t rows) { return {blocks_of(rows, kGuidedThreads), 1, 1, kGuidedThreads, 0}; }

// guided_couple: adds the changes of columns first_change .. first_change + change_count - 1 to the accumulators of all
// columns but skip_first .. skip_first + skip_count - 1.
struct GuidedCoupleParameters {
  const float *changes, *coupling;
  float* accumulators;
  uint32_t row_count, columns, first_change, change_count, skip_first, skip_count;
};

constexpr unsigned kCoupleThreads = 256;
constexpr unsigned kCoupleTile = 64;

// couples: how many columns, at least one.
inline Shape guided_couple_shape(uint32_t rows, uint32_t couples) {
  return {blocks_of(couples, kCoupleTile), blocks_of(rows, kCoupleTile), 1, kCoupleThreads, 0};
}

}  // namespace pyramidion::cuda
