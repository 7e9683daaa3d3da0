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

/** See {@link NativeAddon.forwardBlocks}. */
export type NativeBlock = { readonly [opaque]: true }
declare const opaque: unique symbol

export interface LogitStatistics {
  negativeLogLikelihood: Float64Array
  referenceNegativeLogLikelihood?: Float64Array
  klDivergence?: Float64Array
  sameTop?: Uint8Array
}
