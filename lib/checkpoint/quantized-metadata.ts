/**
 * What the quantized folder stores beside the tensors of one quantized weight `X.weight`: the JSON entry of that name in
 * the safetensors header metadata. See docs/architecture.md, "The quantized folder".
 */

import type { Lattice } from '../native.js'

/** `seed` is a whole number from 0 to 2^32 - 1; the width is the weight's columns. */
export interface RotationMetadata {
  kind: 'hadamard'
  seed: number
}

interface QuantizedTensorCommon {
  rows: number
  columns: number
  /** Null when the stored matrix is W itself. */
  rotation: RotationMetadata | null
  /** Of the low-rank correction; 0 when there is none. */
  rank: number
}

export interface PvqTensorMetadata extends QuantizedTensorCommon {
  format: 'pvq'
  /**
   * `levels` is the number of gain levels, L; their values are in the tensor `X.weight.levels`. `lattice` is absent for the
   * integers.
   */
  segments: { columns: number; dimension: number; pulses: number; levels: number; lattice?: Lattice }[]
}

export interface IntegerTensorMetadata extends QuantizedTensorCommon {
  format: 'integer'
  bits: number
  groupSize: number
  symmetric: boolean
}

export interface MxintTensorMetadata extends QuantizedTensorCommon {
  format: 'mxint'
  bits: number
  blockSize: number
}

export type QuantizedTensorMetadata = PvqTensorMetadata | IntegerTensorMetadata | MxintTensorMetadata
