/** A linear layer and what surrounds its product. */
import type { LowRankFactors, MemoryLayout, PvqSegment, Weights } from './weights.js'

/** V = (M (x) S) diag(signs), M orthogonal of order m, S the normalised Sylvester matrix of order 2^b, m * 2^b = width. */
export interface RotationParts {
  width: number
  /** +1 or -1, one a column. */
  signs: Int8Array
  /** b: log2 of the order of the Sylvester factor. */
  sylvesterLog2: number
  /** m x m row-major, orthonormal; absent means the identity (independent blocks of 2^b). */
  matrix?: Float32Array
}

/** The shared words of a cancellable job: [0] non-zero asks it to stop, [1] counts the rows that are done. */
export type JobControl = Int32Array

export interface NativeRotation {
  /** In place on `rows` rows of `width` values: V x, or V^T x when inverse. */
  apply(x: Float32Array, rows: number, inverse: boolean): void
  applyAsync(x: Float32Array, rows: number, inverse: boolean): Promise<void>
  /** V M V^T of second moments M (width x width, symmetric), in place; single precision inside. */
  turnMomentsAsync(moments: Float64Array): Promise<void>
}

/** What a token's inputs are rounded to. */
export type ActivationSettings =
  /** One float scale a token. */
  | { kind: 'int8' }
  /** Like {@link MxintWeights}, a token being a row. */
  | { kind: 'mxint'; bits: number; blockSize: number }
  /** Like {@link PvqWeights}, a token being a row. */
  | { kind: 'pvq'; segments: PvqSegment[] }

export interface NativeActivationQuantizer {
  /** In place on tokens x width: the values that inputs of this precision stand for. */
  apply(x: Float32Array, tokens: number): void
}

export interface NativeLinear {
  /**
   * y (tokens x out) = W x + B (A x) + bias for x (tokens x in). `prepared`: x already went through the rotation and the
   * activation quantizer.
   */
  forward(x: Float32Array, tokens: number, y: Float32Array, prepared: boolean): void
  /** The same on a thread of the addon's own; x and y must not be touched until it settles. */
  forwardAsync(x: Float32Array, tokens: number, y: Float32Array, prepared: boolean): Promise<void>
  /** The least time of a few products of so many tokens, with the caches as full as they get; inputs count as prepared. */
  leastSecondsAsync(tokens: number): Promise<number>
  /**
   * The gradient of a loss at x (tokens x in), for that at y (tokens x out): into `out`, or added to it when `accumulate`.
   * `rotated`: the gradient at the rotated x instead. The rounding of inputs counts as the identity.
   */
  backward(gradient: Float32Array, tokens: number, out: Float32Array, rotated: boolean, accumulate: boolean): void
  /** Rows of the effective matrix (rotation undone, low-rank term added) into out: ids.length x in. */
  gatherRows(ids: Int32Array, out: Float32Array): void
  /** Row scales (f16) and gain levels of all segments, one behind the other; undefined unless the weights are PVQ. */
  scales(): PvqScales<Uint16Array, Float32Array> | undefined
  /** Changes both in place: nothing else may be computing with the layer. Levels stay ascending and not negative. */
  setScales(rowScale: Uint16Array, levels: Float32Array): void
  /** The gradient of a loss at both, for inputs x (tokens x in), not rotated, and the gradient at y (tokens x out). */
  scaleGradients(x: Float32Array, gradient: Float32Array, tokens: number): PvqScales<Float64Array, Float64Array>
  /** Bytes the weights occupy in memory. */
  readonly bytes: number
  /** Bytes of a device's memory; 0 for a layer on the processor. */
  readonly deviceBytes: number
  /** The layout of PVQ weights: the one asked for, or `compact` where their code does not have that. */
  readonly layout?: MemoryLayout
}

/** One a row, and the levels of all segments. */
export interface PvqScales<S, L> {
  rowScale: S
  levels: L
}

export interface LinearParts {
  weights: Weights
  rotation?: NativeRotation
  activations?: NativeActivationQuantizer
  /** Of PVQ weights. Default `compact`. */
  layout?: MemoryLayout
  lowRank?: LowRankFactors
  bias?: Float32Array
  /** Made of these weights, rotation, correction and bias, for these activations: what computes their product instead of the processor. */
  device?: NativeDeviceProduct
}

/** A product on a device, see {@link NativeAddon.cudaProductAsync}; its memory goes with the last layer that holds it. */
export type NativeDeviceProduct = { readonly [opaque]: true }
declare const opaque: unique symbol
