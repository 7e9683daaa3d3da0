/** All that the addon exports. */
import type { ErrorCode } from '../errors.js'
import type { Capabilities, CudaDevices } from './capabilities.js'
import type {
  GuideSettings,
  IntegerRows,
  IntegerSettings,
  LowRankScaling,
  MxintRows,
  MxintSettings,
  NativePvqGuide,
  PvqRows,
} from './encoding.js'
import type {
  ActivationSettings,
  JobControl,
  LinearParts,
  NativeActivationQuantizer,
  NativeDeviceProduct,
  NativeLinear,
  NativeRotation,
  RotationParts,
} from './linear.js'
import type {
  AttentionShape,
  KeyValueFormat,
  LogitStatistics,
  NativeBlockParts,
  NativeBlocks,
  NativeKeyValueCache,
} from './model.js'
import type { NativeDriftMoment, NativeHessian } from './statistics.js'
import type { Lattice, PvqSegment, PvqWeights, Weights } from './weights.js'

/** Everything the addon exports. The `Async` twin of a function runs on a thread of the addon's own. */
export interface NativeAddon {
  /** Hands the error class to C++; called once per environment as it is loaded. */
  setErrorClass(errorClass: new (code: ErrorCode, message: string) => Error): void
  capabilities(): Capabilities
  setThreadCount(count: number): void
  /** Bytes a second that all threads together read from memory beyond the caches; takes a tenth of a second and up to 256 MiB. */
  readBandwidthAsync(): Promise<number>
  /** The first call opens the driver. */
  cudaDevicesAsync(): Promise<CudaDevices>
  /**
   * Uploads PVQ weights to the first usable GPU. `int8`: inputs are rounded to int8 there. `expanded`: its codes become bytes there where that is faster. Throws UNSUPPORTED_FORMAT for codes that no kernel knows, DEVICE_UNAVAILABLE,
   * DEVICE_ERROR, OUT_OF_MEMORY.
   */
  cudaProductAsync(
    parts: Pick<LinearParts, 'weights' | 'rotation' | 'lowRank' | 'bias'> & { int8: boolean; expanded: boolean },
  ): Promise<NativeDeviceProduct>

  pvqCount(dimension: number, pulses: number, lattice?: Lattice): bigint
  /** points: n x D -> n indices. */
  pvqIndices(dimension: number, pulses: number, points: Int16Array, lattice?: Lattice): BigUint64Array
  pvqPoints(dimension: number, pulses: number, indices: BigUint64Array, lattice?: Lattice): Int16Array
  /** Little-endian bit stream, bit 0 first. */
  packCodes(codes: BigUint64Array, bits: number): Uint8Array
  unpackCodes(bytes: Uint8Array, bits: number, count: number): BigUint64Array
  /** Lloyd-Max levels on the projection for rows of rowLength weights of unit mean square. */
  pvqGainLevels(dimension: number, pulses: number, levels: number, rowLength: number, lattice?: Lattice): Float32Array
  /** Relative squared error of a code with those levels, within about 0.5 %: expected, at the optimal row scale. */
  pvqExpectedError(dimension: number, pulses: number, levels: number, rowLength: number, lattice?: Lattice): number
  pvqEncode(values: Float32Array, rows: number, columns: number, segments: PvqSegment[]): PvqRows
  /**
   * `onGpu`: on the first usable one, to the same bytes. Throws UNSUPPORTED_FORMAT then for codes that no kernel knows,
   * DEVICE_UNAVAILABLE, DEVICE_ERROR, OUT_OF_MEMORY.
   */
  pvqEncodeAsync(
    values: Float32Array,
    rows: number,
    columns: number,
    segments: PvqSegment[],
    control?: JobControl,
    onGpu?: boolean,
  ): Promise<PvqRows>
  /** The first row that holds a code >= L times the pyramid's points or padding bits that are not zero, or -1. */
  pvqFirstInvalidRow(weights: PvqWeights): number

  integerEncode(values: Float32Array, rows: number, columns: number, settings: IntegerSettings): IntegerRows
  integerEncodeAsync(
    values: Float32Array,
    rows: number,
    columns: number,
    settings: IntegerSettings,
  ): Promise<IntegerRows>
  mxintEncode(values: Float32Array, rows: number, columns: number, settings: MxintSettings): MxintRows
  mxintEncodeAsync(values: Float32Array, rows: number, columns: number, settings: MxintSettings): Promise<MxintRows>

  /** Decodes rows firstRow .. firstRow + rowCount - 1 into out (rowCount x columns); no rotation, no low-rank term. */
  decodeRows(weights: Weights, firstRow: number, rowCount: number, out: Float32Array): void
  decodeRowsAsync(weights: Weights, firstRow: number, rowCount: number, out: Float32Array): Promise<void>
  /** A matrix, its columns a multiple of 32, as q8_0: a scale for 32 values. What is not finite makes the scale NaN. */
  int8Blocks(weights: Weights): Uint8Array
  int8BlocksAsync(weights: Weights): Promise<Uint8Array>
  /** Position of the first NaN or infinity, or -1. */
  firstNonFinite(values: Float32Array): number
  /** The first position of the largest value; values holds none that is not a number. */
  largest(values: Float32Array): number
  /** f32 -> f16 bit patterns, round to nearest even. */
  toHalf(values: Float32Array): Uint16Array
  fromHalf(halves: Uint16Array): Float32Array

  /** Rank-r factors of the rows x columns error matrix: B (rows x r), A (r x columns). */
  lowRankFactorsAsync(
    error: Float32Array,
    rows: number,
    columns: number,
    rank: number,
    scaling: LowRankScaling,
  ): Promise<{ a: Float32Array; b: Float32Array }>
  /** trace(E H E^T) / rows for error E (rows x columns) and H (columns x columns). */
  expectedErrorAsync(error: Float32Array, rows: number, columns: number, hessian: Float64Array): Promise<number>
  /** L (rows x rows, lower triangular), L L^T = share * G / mean diagonal + (1 - share) I. G: rows x rows. */
  outputFactorAsync(outputHessian: Float64Array, rows: number, share: number): Promise<Float64Array>
  /** L^T X for X rows x columns and the factor L of {@link outputFactorAsync}; with `inverse`, L^-T X. */
  weighOutputsAsync(
    values: Float32Array,
    rows: number,
    columns: number,
    factor: Float64Array,
    inverse?: boolean,
  ): Promise<Float32Array>
  /**
   * Of each of the `size` columns, the variance given all columns that are rounded after it, for H plus ridge * mean diagonal:
   * see native/core/calibrated/conditional_variances.h.
   */
  conditionalVariancesAsync(hessian: Float64Array, size: number, ridge: number): Promise<Float64Array>
  /** A symmetric matrix (width x width) from its lower triangle, rows one behind the other. */
  unpackLowerAsync(packed: Float32Array, width: number): Promise<Float64Array>
  /** values -= approximation; the sums of squares of values before and after. */
  subtractAsync(values: Float32Array, approximation: Float32Array): Promise<{ before: number; after: number }>

  /** moment (rows x columns) times (hessian + ridge * mean diagonal * I)^-1; hessian: columns x columns, symmetric. */
  ridgeRegressionAsync(
    moment: Float64Array,
    rows: number,
    columns: number,
    hessian: Float64Array,
    ridge: number,
  ): Promise<Float32Array>
  /** out (rows x columns) += factor * a (rows x depth) b (depth x columns). */
  addProductAsync(
    a: Float32Array,
    b: Float32Array,
    rows: number,
    depth: number,
    columns: number,
    factor: number,
    out: Float32Array,
  ): Promise<void>

  Rotation: new (parts: RotationParts) => NativeRotation
  ActivationQuantizer: new (width: number, settings: ActivationSettings) => NativeActivationQuantizer
  /** `onGpu`: summed up on the first usable GPU, in 8 width^2 bytes of its memory, until mean() is first asked for. */
  Hessian: new (
    width: number,
    onGpu?: boolean,
  ) => NativeHessian
  DriftMoment: new (width: number, inputWidth: number) => NativeDriftMoment
  /** hessian: columns x columns, in the space of the values (rotated if they are). */
  PvqGuide: new (
    columns: number,
    segments: PvqSegment[],
    hessian: Float64Array,
    settings: GuideSettings,
  ) => NativePvqGuide
  Linear: new (parts: LinearParts) => NativeLinear
  /** Of a model, in their order: of the same widths. */
  Blocks: new (
    blocks: NativeBlockParts[],
  ) => NativeBlocks
  KeyValueCache: new (
    format: KeyValueFormat,
    layers: number,
    heads: number,
    headDimension: number,
  ) => NativeKeyValueCache

  // The model graph's operations: synchronous, threaded inside, meant for a worker thread.
  /** out = x / sqrt(mean(x^2) + epsilon) * weight, on rows of weight.length values. out may be x. */
  rmsNorm(x: Float32Array, weight: Float32Array, epsilon: number, rows: number, out: Float32Array): void
  /** The gradient at rmsNorm's x, for that at its output; out may be the gradient. */
  rmsNormBackward(
    x: Float32Array,
    weight: Float32Array,
    epsilon: number,
    rows: number,
    gradient: Float32Array,
    out: Float32Array,
  ): void
  /** Adds the gradient at rmsNorm's weight, for that at its output, to out (width values). */
  rmsNormWeightGradient(x: Float32Array, epsilon: number, rows: number, gradient: Float32Array, out: Float64Array): void
  /**
   * Blocks one after the other, in place on x (tokens x hidden), for the positions past .. past + tokens - 1, whose keys and
   * values go into the cache, a layer a block; without a cache they are forgotten, and past is 0. cosine, sine: tokens x D / 2.
   * ABORTED when a stop was asked for between blocks. `times`: seconds of projections, attention, norms, rotary, gating and sums
   * are added to it.
   */
  forwardBlocks(
    blocks: NativeBlocks,
    x: Float32Array,
    tokens: number,
    past: number,
    cache: NativeKeyValueCache | undefined,
    cosine: Float32Array,
    sine: Float32Array,
    control?: JobControl,
    times?: Float64Array,
  ): void
  /** Rotary embedding in place, half-split (Hugging Face) order. x: tokens x heads x D; cosine, sine: tokens x D/2. */
  rotary(x: Float32Array, tokens: number, heads: number, cosine: Float32Array, sine: Float32Array): void
  /** Causal grouped-query attention, softmax scale 1/sqrt(D). query, out: tokens x heads x D; keys, values: tokens x kvHeads x D. */
  attention(
    query: Float32Array,
    keys: Float32Array,
    values: Float32Array,
    shape: AttentionShape,
    out: Float32Array,
  ): void
  /** The gradients at attention's query, keys and values, for that at its output: one whole window. */
  attentionBackward(
    query: Float32Array,
    keys: Float32Array,
    values: Float32Array,
    gradient: Float32Array,
    shape: AttentionShape,
    queryGradient: Float32Array,
    keyGradient: Float32Array,
    valueGradient: Float32Array,
  ): void
  /** out = silu(gate) * up; out may be either. */
  siluMultiply(gate: Float32Array, up: Float32Array, out: Float32Array): void
  /** gate and up become the gradients at themselves, for that at siluMultiply's output. */
  siluMultiplyBackward(gate: Float32Array, up: Float32Array, gradient: Float32Array): void
  /** out[row] = sum of squares of a row of `width` values, out.length rows. */
  rowSquaredNorms(x: Float32Array, width: number, out: Float32Array): void
  /** x += y. */
  addInPlace(x: Float32Array, y: Float32Array): void
  /**
   * Per row of logits (rows x vocabulary): negative log-likelihood of the target (nats); and, with reference logits,
   * KL(reference || logits) in nats and whether both pick the same token. Accumulates in double.
   */
  logitStatistics(
    logits: Float32Array,
    reference: Float32Array | undefined,
    targets: Int32Array,
    rows: number,
    vocabulary: number,
  ): LogitStatistics
  /**
   * Draws a label from softmax(logits) for each row, by inversion of `uniforms` (Float64Array, in [0, 1)), and turns logits
   * (rows x vocabulary) into the gradient of -log p(label). Returns the labels.
   */
  sampledLabelGradient(logits: Float32Array, rows: number, vocabulary: number, uniforms: Float64Array): Int32Array
  /** Turns logits (rows x vocabulary) into the gradient of KL(reference || logits). Returns that KL of each row, in nats. */
  distillationGradient(logits: Float32Array, reference: Float32Array, rows: number, vocabulary: number): Float64Array
}
