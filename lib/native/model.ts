/** What a model needs beside its linear layers. */

export interface AttentionShape {
  /** Query tokens in this call. */
  tokens: number
  /** Positions before them that the caches already hold; the caches hold past + tokens positions. */
  past: number
  heads: number
  keyValueHeads: number
  headDimension: number
  /** Positions a query sees, itself included; 0 means all. */
  window: number
}

export interface LogitStatistics {
  negativeLogLikelihood: Float64Array
  referenceNegativeLogLikelihood?: Float64Array
  klDivergence?: Float64Array
  sameTop?: Uint8Array
}
