/** What a model needs beside its linear layers. */
import type { NativeLinear } from './linear.js'

export interface AttentionShape {
  tokens: number
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
export type NativeBlocks = { readonly [opaque]: true }
declare const opaque: unique symbol

/**
 * What keys and values of a text are rounded to: `f16` to the nearest half, `int8` to 127 steps of the largest magnitude in a head of a
 * position, with that scale as a float.
 */
export type KeyValueFormat = 'f32' | 'f16' | 'int8'

/** Of the layers of a model. */
export interface NativeKeyValueCache {
  /** Makes room for so many positions at least; nothing is forgotten. */
  reserve(positions: number): void
  /** Of all the room there is. */
  readonly bytes: number
}

export interface LogitStatistics {
  negativeLogLikelihood: Float64Array
  referenceNegativeLogLikelihood?: Float64Array
  klDivergence?: Float64Array
  sameTop?: Uint8Array
}
