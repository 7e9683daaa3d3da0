import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ErrorCode, PyramidionError } from './errors.js'

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

export interface NativeHessian {
  /**
   * Accumulates sum w x x^T, and the l2qer statistic max over calls of mean |x|. x: tokens x width; weights, one a token: all 1
   * where absent.
   */
  add(x: Float32Array, tokens: number, weights?: Float32Array): void
  addAsync(x: Float32Array, tokens: number, weights?: Float32Array): Promise<void>
  /** width x width, row-major: the mean E[w x x^T], the same bits however the tokens came. */
  mean(): Float64Array
  /** max over add() calls of the mean over tokens of |x|, a column each. */
  meanMagnitude(): Float64Array
  readonly tokens: number
}

export interface NativeDriftMoment {
  /** Accumulates sum (x - y) z^T. x, y: tokens x width; z: tokens x inputWidth. */
  add(x: Float32Array, y: Float32Array, z: Float32Array, tokens: number): void
  /** width x inputWidth, row-major: the mean E[(x - y) z^T]. */
  mean(): Float64Array
  readonly tokens: number
}

export interface NativeLinear {
  /**
   * y (tokens x out) = W x + B (A x) + bias for x (tokens x in). `prepared`: x already went through the rotation and the
   * activation quantizer.
   */
  forward(x: Float32Array, tokens: number, y: Float32Array, prepared: boolean): void
  /** The same on a thread of the addon's own; x and y must not be touched until it settles. */
  forwardAsync(x: Float32Array, tokens: number, y: Float32Array, prepared: boolean): Promise<void>
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

/** How rounding is guided by a Hessian; see native/core/calibrated. */
export interface GuideSettings {
  /** Added to the diagonal of H, as a share of its mean. */
  ridge: number
  /** Pulse moves a group and sweep, at most. */
  moves: number
  /** Sweeps of coordinate descent after the one of error feedback. */
  sweeps: number
  /** Whether a group makes up for the errors of those before it; without, only the sweeps of coordinate descent do. */
  feedback: boolean
  /** Whether groups are rounded by decreasing diagonal of H; without, in the order of the columns. */
  ordered: boolean
}

/** How the errors of a matrix's rows are weighed together; see native/core/calibrated/row_coupling.h. */
export interface RowCoupling {
  /** G = E[g g^T] of the gradients at the layer's outputs: rows x rows. */
  outputHessian: Float64Array
  /** What of G counts beside the identity of the same trace, 0 to 0.9999. */
  share: number
}

/** Rounds rows under one Hessian, for one layout of segments. */
export interface NativePvqGuide {
  /**
   * values: rows x columns. The first call factors the Hessian. With `coupling`, values are all rows of the matrix. `onGpu` as
   * of {@link NativeAddon.pvqEncodeAsync}.
   */
  encodeAsync(
    values: Float32Array,
    rows: number,
    control?: JobControl,
    coupling?: RowCoupling,
    onGpu?: boolean,
  ): Promise<PvqRows>
  /** Lets go of what a GPU keeps for it. */
  release(): void
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

/** What the machine offers and what the addon chose from it. */
export interface Capabilities {
  architecture: string
  /** Extensions the processor has and the addon knows, e.g. `avx2`, `avx512f`, `avx512vnni`; on arm64 `neon`, `dotprod`. */
  instructionSets: string[]
  /** The implementation in use for each kernel family, e.g. `{ pvqSearch: 'avx512', pvqDecode: 'avx512' }`. */
  kernels: Record<string, string>
  threads: number
}

/** What the GPU driver shows. */
export interface CudaDevices {
  devices: CudaDevice[]
  /** Why there is none. */
  reason?: string
  /** The newest CUDA release that the driver serves. */
  driver?: string
}

export interface CudaDevice {
  index: number
  name: string
  computeCapability: string
  memoryBytes: number
  multiprocessors: number
  /** Why kernels cannot run on it. */
  reason?: string
}

export type LowRankScaling =
  | { kind: 'identity' }
  /** s, one a column: SVD of E diag(s). */
  | { kind: 'diagonal'; scale: Float64Array }
  /** E[x x^T], width x width, to which ridge * mean(diagonal) is added: SVD of E M, M M^T = H. */
  | { kind: 'hessian'; hessian: Float64Array; ridge: number }

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

/** Everything the addon exports. The `Async` twin of a function runs on a thread of the addon's own. */
export interface NativeAddon {
  /** Hands the error class to C++; called once per environment by this file. */
  setErrorClass(errorClass: new (code: ErrorCode, message: string) => Error): void
  capabilities(): Capabilities
  setThreadCount(count: number): void
  /** The first call opens the driver. */
  cudaDevicesAsync(): Promise<CudaDevices>
  /**
   * Uploads PVQ weights to the first usable GPU. `int8`: inputs are rounded to int8 there. Throws UNSUPPORTED_FORMAT for codes that no kernel knows, DEVICE_UNAVAILABLE,
   * DEVICE_ERROR, OUT_OF_MEMORY.
   */
  cudaProductAsync(
    parts: Pick<LinearParts, 'weights' | 'rotation' | 'lowRank' | 'bias'> & { int8: boolean },
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
  /** Position of the first NaN or infinity, or -1. */
  firstNonFinite(values: Float32Array): number
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
  /**
   * Of each of the `size` columns, the variance given all columns that are rounded after it, for H plus ridge * mean diagonal:
   * see native/core/calibrated/conditional_variances.h.
   */
  conditionalVariancesAsync(hessian: Float64Array, size: number, ridge: number): Promise<Float64Array>

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
  /** Rotary embedding in place, half-split (Hugging Face) order. x: tokens x heads x D; cosine, sine: tokens x D/2. */
  rotary(x: Float32Array, tokens: number, heads: number, cosine: Float32Array, sine: Float32Array): void
  /** Causal grouped-query attention, softmax scale 1/sqrt(D). query, out: tokens x heads x D; caches: positions x kvHeads x D. */
  attention(
    query: Float32Array,
    keys: Float32Array,
    values: Float32Array,
    shape: AttentionShape,
    out: Float32Array,
  ): void
  /** The gradients at attention's query, keys and values, for that at its output: one whole window, shape.past = 0. */
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

export interface LogitStatistics {
  negativeLogLikelihood: Float64Array
  referenceNegativeLogLikelihood?: Float64Array
  klDivergence?: Float64Array
  sameTop?: Uint8Array
}

export interface PvqRows {
  codes: Uint8Array
  rowScale: Uint16Array
}
export interface IntegerSettings {
  bits: number
  groupSize: number
  symmetric: boolean
}
export interface IntegerRows {
  codes: Uint8Array
  scales: Uint16Array
  minimums?: Uint16Array
}
export interface MxintSettings {
  bits: number
  blockSize: number
}
export interface MxintRows {
  codes: Uint8Array
  exponents: Uint8Array
}

/** Finds the addon: a local build first, then the prebuilt package of this platform. */
function load(): NativeAddon {
  const require = createRequire(import.meta.url)
  const root = join(dirname(fileURLToPath(import.meta.url)), '..')
  const platform = `${process.platform}-${process.arch}`
  const candidates = [
    process.env.PYRAMIDION_ADDON,
    join(root, 'build', 'Release', 'pyramidion.node'),
    `@pyramidion/${platform}/pyramidion.node`,
  ].filter(path => path !== undefined)
  const failures: string[] = []
  for (const path of candidates) {
    try {
      const addon = require(path) as NativeAddon
      addon.setErrorClass(PyramidionError)
      return addon
    } catch (error) {
      failures.push(`  ${path}: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  throw new PyramidionError(
    'NATIVE_UNAVAILABLE',
    `the native addon could not be loaded on ${platform}, Node ${process.versions.node}. Build it with: npm --prefix ${root} run build:native\n${failures.join('\n')}`,
  )
}

/** The addon, loaded when this module is first imported. This is the only file that knows where it lives. */
export const native: NativeAddon = load()
