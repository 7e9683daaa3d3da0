/** One weight of a checkpoint as the native layers take it: plain or quantized, with its rotation and correction. */
import type { LowRankFactors, Weights } from '../native.js'
import type { RotationMetadata } from './quantized-metadata.js'

export interface StoredWeights {
  weights: Weights
  /** Null when the stored matrix is W itself; always null for plain weights. */
  rotation: RotationMetadata | null
  lowRank?: LowRankFactors
}
