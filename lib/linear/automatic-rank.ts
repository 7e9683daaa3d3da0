/**
 * The rank of a correction chosen by what it is worth: bits given to factors are taken from the codes, whose error then
 * grows by a factor 4 a bit. The correction stays only if the layer that has it measures better than the control, the same
 * bits all in the codes and rounded the same way.
 */
import { type DenseWeights, type GuideSettings, type Lattice, type LowRankScaling, native } from '../native.js'
import { decodeAllAsync } from '../quantizers/decode.js'
import { planQuantizer, type QuantizerName } from '../quantizers/plan-quantizer.js'
import type { EncodeOptions } from '../quantizers/quantizer.js'
import { type EncodedLinear, encodeCodes, encodeLinear } from './encode-linear.js'
import type { EncodingDevice } from './encoding-device.js'
import type { Hessian } from './hessian.js'
import { type LowRankMethod, lowRankBits, lowRankScaling, outputWeightsOf } from './low-rank.js'
import type { OutputWeights } from './output-weights.js'
import type { Rounding } from './rounding-guide.js'

/** Ranks worth trying. */
const RANKS = [2, 4, 8, 16, 32, 48, 64, 96, 128]
/** Bits a weight that the codes keep in any case. */
const LEAST_CODE_BITS = 1

export interface ChooseRankOptions extends EncodeOptions {
  rank: 'auto'
  method: LowRankMethod
  /** As in {@link LowRankSettings}. */
  refits: number
  quantizerName: QuantizerName
  /** Of PVQ groups of 16. */
  lattice?: Lattice
  /** Everything stored for the matrix, in bits. */
  bits: number
  rotationSeed: number | null
  hessian?: Hessian
  metric?: Float64Array
  outputWeights?: OutputWeights
  rounding?: Rounding
  guide?: Partial<GuideSettings>
  name?: string
  device?: EncodingDevice
}

/** Codes `weight` in `bits` bits, with the correction that helps most or with none. */
export async function chooseRank(weight: DenseWeights, options: ChooseRankOptions): Promise<EncodedLinear> {
  const { rows, columns } = weight
  const { method, refits, hessian, outputWeights, quantizerName, lattice, bits, onProgress } = options
  const quantizerFor = (rank: number) =>
    planQuantizer(quantizerName, rows, columns, bits - lowRankBits(rows, columns, rank), lattice)
  const report = (pass: number) =>
    onProgress && (({ done }: { done: number }) => onProgress({ done: pass * rows + done, total: 2 * rows }))

  const first = { ...options, quantizer: quantizerFor(0), onProgress: report(0) }
  const control = await encodeCodes(weight, first, true)
  const rank = await mostPromisingRank(control.error!, weight, options)
  if (rank > 0) {
    const second = {
      ...options,
      quantizer: quantizerFor(rank),
      lowRank: { method, rank, refits },
      onProgress: report(1),
    }
    const corrected = await encodeLinear(weight, second)
    const metric = options.metric ?? hessian?.mean()
    const without = await outputError(control.error!, weight, metric, outputWeights)
    const withCorrection = await outputError(corrected.error!, weight, metric, outputWeights)
    if (withCorrection < without) return corrected
  }
  onProgress?.({ done: 2 * rows, total: 2 * rows })
  const rotation = options.rotationSeed === null ? null : { kind: 'hadamard' as const, seed: options.rotationSeed }
  return { stored: { weights: control.weights, rotation }, relativeSquaredError: control.relativeSquaredError }
}

/**
 * The rank with the least predicted error; 0 when none promises less than the control. Of the control's error E the factors
 * take its leading part under S; where the codes are made for W - B A, what they get wrong shrinks as the matrix does.
 */
async function mostPromisingRank(
  error: Float32Array,
  weight: DenseWeights,
  options: ChooseRankOptions,
): Promise<number> {
  const { rows, columns } = weight
  const affordable = RANKS.filter(
    rank =>
      rank <= Math.min(rows, columns) &&
      options.bits - lowRankBits(rows, columns, rank) >= LEAST_CODE_BITS * rows * columns,
  )
  const most = affordable.at(-1)
  if (most === undefined) return 0
  const scaling = lowRankScaling(options.method, options.hessian, options.metric)
  const weights = outputWeightsOf(options.method, options.outputWeights)
  const ofError = await leadingParts(weights ? await weights.weigh(error) : error, weight, most, scaling)
  // Of the plain matrix: guided rounding leaves the same size of errors in every row.
  const ofWeight =
    options.refits > 0 ? await leadingParts(await decodeAllAsync(weight), weight, most, scaling) : undefined
  let best = { rank: 0, error: 1 }
  for (const rank of affordable) {
    const left = 1 - sumOf(ofError.scaled, rank) / ofError.scaledTotal
    const shrunk = ofWeight === undefined ? 1 : 1 - sumOf(ofWeight.plain, rank) / ofWeight.plainTotal
    const growth = 4 ** (lowRankBits(rows, columns, rank) / (rows * columns))
    const predicted = left * shrunk * growth
    if (predicted < best.error) best = { rank, error: predicted }
  }
  return best.rank
}

/** What leading factors take off the squared norms of a matrix X, factor by factor. */
interface LeadingParts {
  /** Off ||X S||^2. */
  scaled: Float64Array
  scaledTotal: number
  /** Off ||X||^2. */
  plain: Float64Array
  plainTotal: number
}

/**
 * With X S = U Sigma V^T, the factors b_i = sigma_i u_i and a_i = v_i^T S^-1 take |b_i|^2 off ||X S||^2; and because
 * b_i^T X = |b_i|^2 a_i, they take |b_i|^2 |a_i|^2 off ||X||^2.
 */
async function leadingParts(
  matrix: Float32Array,
  { rows, columns }: DenseWeights,
  rank: number,
  scaling: LowRankScaling,
): Promise<LeadingParts> {
  const { a, b } = await native.lowRankFactorsAsync(matrix, rows, columns, rank, scaling)
  const scaled = new Float64Array(rank)
  for (let i = 0; i < b.length; i++) scaled[i % rank] += b[i] * b[i]
  const plain = scaled.map((energy, i) => energy * squares(a.subarray(i * columns, (i + 1) * columns)))
  const plainTotal = squares(matrix)
  return { scaled, scaledTotal: await scaledSquares(matrix, plainTotal, rows, columns, scaling), plain, plainTotal }
}

/** ||X S||^2 for the S of the decomposition. */
async function scaledSquares(
  matrix: Float32Array,
  plainTotal: number,
  rows: number,
  columns: number,
  scaling: LowRankScaling,
): Promise<number> {
  if (scaling.kind === 'identity') return plainTotal
  if (scaling.kind === 'hessian') {
    const { hessian, ridge } = scaling
    const meanDiagonal = hessian.reduce((sum, value, i) => sum + (i % (columns + 1) === 0 ? value : 0), 0) / columns
    return rows * (await native.expectedErrorAsync(matrix, rows, columns, hessian)) + ridge * meanDiagonal * plainTotal
  }
  return matrix.reduce((sum, value, i) => sum + (value * scaling.scale[i % columns]) ** 2, 0)
}

/** The mean squared error of an output, as rounding weighs it; without statistics, over inputs of unit variance. */
async function outputError(
  error: Float32Array,
  { rows, columns }: DenseWeights,
  metric?: Float64Array,
  outputWeights?: OutputWeights,
): Promise<number> {
  const weighed = outputWeights ? await outputWeights.weigh(error) : error
  if (metric !== undefined) return native.expectedErrorAsync(weighed, rows, columns, metric)
  return squares(weighed) / rows
}

const squares = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0)

const sumOf = (values: Float64Array, count: number): number =>
  values.subarray(0, count).reduce((sum, value) => sum + value, 0)
