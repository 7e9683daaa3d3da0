/**
 * From a dense weight matrix to its stored form: rows are rotated and coded a few at a time, so that no more than the
 * matrix itself, once when its error is needed, is held in memory. The one place where a layer is quantized.
 */
import { lowRankBlock } from '../checkpoint/quantized-layout.js'
import type { StoredWeights } from '../checkpoint/read-weights.js'
import { PyramidionError } from '../errors.js'
import { type DenseWeights, type GuideSettings, type LowRankFactors, native } from '../native.js'
import { decodeAllAsync } from '../quantizers/decode.js'
import { PvqQuantizer } from '../quantizers/pvq.js'
import type { EncodeOptions, QuantizedWeights, Quantizer } from '../quantizers/quantizer.js'
import { EncodingDevice } from './encoding-device.js'
import type { Hessian } from './hessian.js'
import { type LowRankSettings, lowRankScaling, outputWeightsOf, quantizeFactors } from './low-rank.js'
import type { OutputWeights } from './output-weights.js'
import { QuantizedLinear } from './quantized-linear.js'
import { sharedRotation } from './rotation.js'
import { type Rounding, RoundingGuide } from './rounding-guide.js'

/** Weights that are rotated and coded together: enough for all threads, little beside a layer. */
const CHUNK_WEIGHTS = 1 << 21
/** The same for a GPU, where guided rounding has a thread a row. */
const GPU_CHUNK_WEIGHTS = 1 << 25

export interface EncodeLinearOptions extends EncodeOptions {
  quantizer: Quantizer
  /** Seed of the rotation; null for none. */
  rotationSeed: number | null
  lowRank?: LowRankSettings
  hessian?: Hessian
  /** in x in: guided rounding and `qera` weigh errors by this instead of the hessian. */
  metric?: Float64Array
  /** Guided rounding then weighs the errors of all rows together, and `qera` those of all outputs. */
  outputWeights?: OutputWeights
  /** Default `guided`, which needs PVQ codes and a hessian, and is `nearest` without them. */
  rounding?: Rounding
  /** Of guided rounding, where they differ from the defaults. */
  guide?: Partial<GuideSettings>
  /** Named in errors and warnings. */
  name?: string
  /** Where codes are made. Default the processor. */
  device?: EncodingDevice
}

export interface EncodedLinear {
  stored: StoredWeights
  /** Sum of squared errors of the effective matrix over the sum of squares. */
  relativeSquaredError: number
  /** W minus the effective matrix, rows x columns; there when there is a correction. */
  error?: Float32Array
}

/** Codes `weight` and, with `lowRank`, corrects it. Throws NOT_FINITE, ABORTED. */
export async function encodeLinear(weight: DenseWeights, options: EncodeLinearOptions): Promise<EncodedLinear> {
  const { lowRank, rotationSeed } = options
  const rotation = rotationSeed === null ? null : { kind: 'hadamard' as const, seed: rotationSeed }
  if (lowRank === undefined || lowRank.rank === 0) {
    const { weights, relativeSquaredError } = await encodeCodes(weight, options, false)
    return { stored: { weights, rotation }, relativeSquaredError }
  }
  const stored = { rotation, ...(await alternate(weight, { ...options, lowRank })) }
  return { stored, ...(await remainingError(weight, stored)) }
}

/** Codes of W - B A and factors of W - Q, made for each other in turns; see {@link LowRankSettings}. */
async function alternate(
  weight: DenseWeights,
  options: EncodeLinearOptions & { lowRank: LowRankSettings },
): Promise<{ weights: QuantizedWeights; lowRank: LowRankFactors }> {
  const { lowRank, onProgress } = options
  const { rows } = weight
  const passes = Math.max(1, lowRank.refits)
  let factors = lowRank.refits > 0 ? await factorsOf(await decodeAllAsync(weight), weight, options) : undefined
  for (let pass = 0; ; pass++) {
    const report =
      onProgress && (({ done }: { done: number }) => onProgress({ done: pass * rows + done, total: passes * rows }))
    const { weights, error } = await encodeCodes(weight, { ...options, onProgress: report }, true, factors)
    factors = await factorsOf(error!, weight, options)
    if (pass === passes - 1) return { weights, lowRank: factors }
  }
}

/** What the stored layer, decoded as a whole, gets wrong: W minus the effective matrix, and its relative squared norm. */
export async function remainingError(
  weight: DenseWeights,
  stored: StoredWeights,
): Promise<{ error: Float32Array; relativeSquaredError: number }> {
  const error = await decodeAllAsync(weight)
  const effective = await new QuantizedLinear(stored).dequantizeAsync()
  const { before, after } = await native.subtractAsync(error, effective)
  return { error, relativeSquaredError: after === 0 ? 0 : after / before }
}

export interface EncodedCodes {
  weights: QuantizedWeights
  /** W - Q(W) in the space of W, rows x columns, when asked for. */
  error?: Float32Array
  relativeSquaredError: number
}

/**
 * The codes alone, of W - B A where there are `factors`. `keepError` keeps the whole error matrix W - Q, turned back by the
 * rotation.
 */
export async function encodeCodes(
  weight: DenseWeights,
  options: EncodeLinearOptions,
  keepError: boolean,
  factors?: LowRankFactors,
): Promise<EncodedCodes> {
  const { quantizer, rotationSeed, outputWeights, rounding = 'guided', name } = options
  const { signal, onProgress, device = EncodingDevice.processor } = options
  const { rows, columns } = weight
  const rotation = rotationSeed === null ? undefined : sharedRotation(columns, rotationSeed)
  const error = keepError ? new Float32Array(rows * columns) : undefined
  const metric = rounding === 'guided' ? (options.metric ?? options.hessian?.mean()) : undefined
  const guide =
    metric !== undefined && quantizer instanceof PvqQuantizer
      ? await RoundingGuide.create(quantizer, columns, metric, rotationSeed, options.guide)
      : undefined
  const coupling = guide && outputWeights?.coupling
  const chunkWeights = device.isGpu ? GPU_CHUNK_WEIGHTS : CHUNK_WEIGHTS
  const chunkRows = coupling ? rows : Math.max(1, Math.floor(chunkWeights / columns))
  const parts: QuantizedWeights[] = []
  let squares = 0
  let squaredErrors = 0
  for (let first = 0; first < rows; first += chunkRows) {
    const count = Math.min(chunkRows, rows - first)
    const values = new Float32Array(count * columns)
    await native.decodeRowsAsync(weight, first, count, values)
    checkFinite(values, first, columns, name ?? 'weight')
    await rotation?.applyAsync(values, count, false)
    const rowOptions = {
      signal,
      onProgress: onProgress && (({ done }: { done: number }) => onProgress({ done: first + done, total: rows })),
    }
    const aim = factors ? withoutCorrection(values, first, columns, factors) : values
    const part = await device.run(name ?? 'a layer', async onGpu => {
      if (guide) return guide.encodeRows(aim, count, { ...rowOptions, onGpu }, coupling)
      if (quantizer instanceof PvqQuantizer) {
        return quantizer.encodeRowsAsync(aim, count, columns, { ...rowOptions, onGpu })
      }
      if (!onGpu) return quantizer.encodeRowsAsync(aim, count, columns, rowOptions)
      throw new PyramidionError('UNSUPPORTED_FORMAT', `only pvq weights have CUDA kernels, not ${quantizer.name}`)
    })
    parts.push(part)
    const { before, after } = await native.subtractAsync(values, await decodeAllAsync(part))
    squares += before
    squaredErrors += after
    if (error !== undefined) {
      await rotation?.applyAsync(values, count, true)
      error.set(values, first * columns)
    }
  }
  guide?.release()
  return {
    weights: concatenateRows(parts, rows),
    error,
    relativeSquaredError: squaredErrors === 0 ? 0 : squaredErrors / squares,
  }
}

/** Factors of `error`, in the space of W. A acts on rotated inputs: A' V x = A x, so its rows are turned like inputs. */
async function factorsOf(
  error: Float32Array,
  { rows, columns }: DenseWeights,
  { lowRank, rotationSeed, hessian, metric, outputWeights }: EncodeLinearOptions & { lowRank: LowRankSettings },
): Promise<LowRankFactors> {
  const { method, rank } = lowRank
  const scaling = lowRankScaling(method, hessian, metric)
  const weights = outputWeightsOf(method, outputWeights)
  const aim = weights ? await weights.weigh(error) : error
  const { a, b } = await native.lowRankFactorsAsync(aim, rows, columns, rank, scaling)
  if (rotationSeed !== null) await sharedRotation(columns, rotationSeed).applyAsync(a, rank, false)
  return quantizeFactors(a, weights ? await weights.unweigh(b) : b, rows, columns, rank)
}

/** values - B A: rows of the rotated matrix from `first` on. */
function withoutCorrection(
  values: Float32Array,
  first: number,
  columns: number,
  { rank, a, aScales, b, bScales }: LowRankFactors,
): Float32Array {
  const rows = values.length / columns
  const blocks = Math.ceil(rank / lowRankBlock)
  const linear = new native.Linear({
    weights: { format: 'f32', rows, columns, data: new Uint8Array(values.buffer, 0, values.byteLength) },
    lowRank: {
      ...{ rank, a, aScales },
      b: b.subarray(first * rank, (first + rows) * rank).map(value => -value),
      bScales: bScales.subarray(first * blocks, (first + rows) * blocks),
    },
  })
  const rest = new Float32Array(values.length)
  linear.gatherRows(
    Int32Array.from({ length: rows }, (_, row) => row),
    rest,
  )
  return rest
}

function checkFinite(values: Float32Array, firstRow: number, columns: number, name: string): void {
  const position = native.firstNonFinite(values)
  if (position < 0) return
  const row = firstRow + Math.floor(position / columns)
  throw new PyramidionError(
    'NOT_FINITE',
    `${name} must be finite, got ${values[position]} in row ${row}, column ${position % columns}`,
  )
}

/** Consecutive rows in one piece; all parts have the same settings. */
function concatenateRows(parts: QuantizedWeights[], rows: number): QuantizedWeights {
  if (parts.length === 1) return parts[0]
  const whole: Record<string, unknown> = { ...parts[0], rows }
  for (const [key, value] of Object.entries(parts[0])) {
    if (!ArrayBuffer.isView(value)) continue
    const arrays = parts.map(part => (part as unknown as Record<string, Uint8Array | Uint16Array>)[key])
    const length = arrays.reduce((sum, array) => sum + array.length, 0)
    const joined = value instanceof Uint16Array ? new Uint16Array(length) : new Uint8Array(length)
    let offset = 0
    for (const array of arrays) {
      joined.set(array, offset)
      offset += array.length
    }
    whole[key] = joined
  }
  return whole as unknown as QuantizedWeights
}
