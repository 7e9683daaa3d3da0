/**
 * What every quantizer is: a way to turn the rows of a matrix into codes and back, that knows what its codes cost. A
 * quantizer has no notion of a layer, a rotation or a correction.
 */
import type { QuantizedTensorMetadata } from '../checkpoint/quantized-metadata.js'
import type { Weights } from '../native.js'
import type { ErrorStatistics } from './error-statistics.js'

export interface EncodeOptions {
  /** Stops the work with an ABORTED error. */
  signal?: AbortSignal
  /** Called at most 20 times a second with the rows that are done, of how many, and once at the end. */
  onProgress?: (progress: { done: number; total: number }) => void
}

/** Weights that a quantizer produced: not one of the plain formats. */
export type QuantizedWeights = Exclude<Weights, { data: Uint8Array }>

export interface Quantizer {
  readonly name: 'pvq' | 'integer' | 'mxint'
  /** Bits a weight of the codes and of what goes with each group, for long rows; {@link storedBits} counts everything. */
  readonly bitsPerWeight: number
  /** What a rows x columns matrix is stored as, without rotation and correction. */
  metadata(rows: number, columns: number): QuantizedTensorMetadata
  /** Everything stored for a rows x columns matrix, in bits: codes, padding, scales, levels. */
  storedBits(rows: number, columns: number): number
  /**
   * Codes a row-major rows x columns matrix. Throws INVALID_SHAPE when `values` has another length, EMPTY when there are
   * none, NOT_FINITE when one is NaN or an infinity.
   */
  encodeRows(values: Float32Array, rows: number, columns: number): QuantizedWeights
  /** The same on other threads; `values` must not change until it settles. */
  encodeRowsAsync(
    values: Float32Array,
    rows: number,
    columns: number,
    options?: EncodeOptions,
  ): Promise<QuantizedWeights>
  /** The rows x columns matrix that the codes stand for. */
  decodeRows(weights: QuantizedWeights): Float32Array
  /** Encodes, decodes, and compares. */
  errorStatistics(values: Float32Array, rows: number, columns: number): ErrorStatistics
}
