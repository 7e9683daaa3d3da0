/** Weight matrices as the addon takes them. */

/** Formats of a plain (not PVQ) weight matrix: float types and the block formats of GGUF, row after row. */
export type DenseFormat = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0' | 'q4_1' | 'q4_k' | 'q6_k'

/** A matrix as a checkpoint stores it: `rows` output features, `columns` input features. */
export interface DenseWeights {
  format: DenseFormat
  rows: number
  columns: number
  data: Uint8Array
}

/**
 * The points p a direction may be, of those with sum |p_i| = K: all of Z^D, or the Barnes-Wall lattice in Z^16, whose points
 * have residues mod 2 in the Reed-Muller code RM(1,4) and a sum that is a multiple of 4.
 */
export type Lattice = 'integer' | 'barnes-wall'

/**
 * A run of columns coded with one (D, K, L). Every segment but the last covers a whole number of groups; the last
 * group of the last segment is padded, and decoders drop the padding. In a row's bytes each segment starts on a byte.
 */
export interface PvqSegment {
  columns: number
  /** D: weights a group, a power of two from 2 to 32. */
  dimension: number
  /** K: pulses a group. */
  pulses: number
  /** The L gain levels, ascending, relative to the row scale. */
  levels: Float32Array
  /** Default `integer`. */
  lattice?: Lattice
}

/** See native/core/pvq/memory_layout.h. */
export type MemoryLayout = 'compact' | 'split' | 'expanded'

/** `w = rowScale * level * p / ||p||` for each group; see docs/architecture.md, "PVQ rows". */
export interface PvqWeights {
  format: 'pvq'
  rows: number
  columns: number
  segments: PvqSegment[]
  codes: Uint8Array
  /** f16, one a row. */
  rowScale: Uint16Array
}

/** `w = scale * (code - 2^(bits-1))` when symmetric, `w = scale * code + minimum` otherwise. */
export interface IntegerWeights {
  format: 'integer'
  rows: number
  columns: number
  bits: number
  groupSize: number
  /** bits a code, little-endian bit stream, each row starting on a byte. */
  codes: Uint8Array
  /** f16, rows x ceil(columns / groupSize). */
  scales: Uint16Array
  /** f16, like scales; absent when symmetric. */
  minimums?: Uint16Array
}

/** `w = sign * magnitude * 2^(exponent - 127)`, sign and magnitude in `bits` bits, the exponent shared by a block. */
export interface MxintWeights {
  format: 'mxint'
  rows: number
  columns: number
  bits: number
  blockSize: number
  codes: Uint8Array
  /** One a block, rows x ceil(columns / blockSize), biased by 127. */
  exponents: Uint8Array
}

export type Weights = DenseWeights | PvqWeights | IntegerWeights | MxintWeights

/**
 * Low-rank factors of `y += B (A x)`: A is rank x in, B is out x rank, int8 with one f16 scale for 16 values along the
 * contraction axis (in for A, rank for B), the last block of a row possibly shorter.
 */
export interface LowRankFactors {
  rank: number
  a: Int8Array
  aScales: Uint16Array
  b: Int8Array
  bScales: Uint16Array
}
