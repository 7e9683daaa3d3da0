/** What a model needs beside its linear layers. */
import type { NativeLinear } from './linear.js'

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

/** A transformer block; norms are looked at where they are when it runs. */
export interface NativeBlockParts {
  query: NativeLinear
  key: NativeLinear
  value: NativeLinear
  output: NativeLinear
  gate: NativeLinear
  up: NativeLinear
  down: NativeLinear
  attentionNorm: Float32Array
  mlpNorm: Float32Array
  /** Of a head's width. */
  queryNorm?: Float32Array
  keyNorm?: Float32Array
  epsilon: number
  heads: number
  keyValueHeads: number
  headDimension: number
  /** As in {@link AttentionShape}. */
  window: number
}

export interface NativeBlock {
  /**
   * In place on x (tokens x hidden), the positions past .. past + tokens - 1, whose keys and values go into the caches; cosine, sine: tokens x D / 2.
   * `times`: seconds of projections, attention, norms, rotary, gating and sums are added to it.
   */
  forward(
    x: Float32Array,
    tokens: number,
    past: number,
    keys: Float32Array,
    values: Float32Array,
    cosine: Float32Array,
    sine: Float32Array,
    times?: Float64Array,
  ): void
}

export interface LogitStatistics {
  negativeLogLikelihood: Float64Array
  referenceNegativeLogLikelihood?: Float64Array
  klDivergence?: Float64Array
  sameTop?: Uint8Array
}
