/**
 * The rank of a correction chosen by what it is worth: bits given to factors are taken from the codes, whose error then
 * grows by a factor 4 a bit. The correction stays only if the layer that has it measures better than the control, the same
 * bits all in the codes.
 */
import { type DenseWeights, type GuideSettings, type Lattice, type LowRankScaling, native } from '../native.js'
import { planQuantizer, type QuantizerName } from '../quantizers/plan-quantizer.js'
import type { EncodeOptions } from '../quantizers/quantizer.js'
import { type EncodedLinear, encodeCodes, encodeLinear } from './encode-linear.js'
import type { Hessian } from './hessian.js'
import { type LowRankMethod, lowRankBits, lowRankScaling } from './low-rank.js'
import type { Rounding } from './rounding-guide.js'

/** Ranks worth trying: factors store a scale for 16 values along the rank. */
const RANKS = [4, 8, 16, 32, 48, 64]
/** Bits a weight that the codes keep in any case. */
const LEAST_CODE_BITS = 1

export interface ChooseRankOptions extends EncodeOptions {
  rank: 'auto'
  method: LowRankMethod
  quantizerName: QuantizerName
  /** Of PVQ groups of 16. */
  lattice?: Lattice
  /** Everything stored for the matrix, in bits. */
  bits: number
  rotationSeed: number | null
  hessian?: Hessian
  metric?: Float64Array
  outputHessian?: Float64Array
  rounding?: Rounding
  guide?: Partial<GuideSettings>
  name?: string
}

/** Codes `weight` in `bits` bits, with the correction that helps most or with none. */
export async function chooseRank(weight: DenseWeights, options: ChooseRankOptions): Promise<EncodedLinear> {
  const { rows, columns } = weight
  const { method, hessian, quantizerName, lattice, bits, onProgress } = options
  const quantizerFor = (rank: number) =>
    planQuantizer(quantizerName, rows, columns, bits - lowRankBits(rows, columns, rank), lattice)
  const report = (pass: number) =>
    onProgress && (({ done }: { done: number }) => onProgress({ done: pass * rows + done, total: 2 * rows }))

  const first = { ...options, quantizer: quantizerFor(0), onProgress: report(0) }
  const control = await encodeCodes(weight, first, true)
  const rank = await mostPromisingRank(control.error!, weight, options)
  if (rank > 0) {
    const second = { ...options, quantizer: quantizerFor(rank), lowRank: { method, rank }, onProgress: report(1) }
    const corrected = await encodeLinear(weight, second)
    const [without, withCorrection] = await Promise.all(
      [control.error!, corrected.error!].map(error => outputError(error, weight, hessian)),
    )
    if (withCorrection < without) return corrected
  }
  onProgress?.({ done: 2 * rows, total: 2 * rows })
  const rotation = options.rotationSeed === null ? null : { kind: 'hadamard' as const, seed: options.rotationSeed }
  return { stored: { weights: control.weights, rotation }, relativeSquaredError: control.relativeSquaredError }
}

/**
 * The rank with the least predicted error, from the singular values of the control's error: the columns of B = U Sigma.
 * 0 when none promises less than the control.
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
  const scaling = lowRankScaling(options.method, options.hessian)
  const { b } = await native.lowRankFactorsAsync(error, rows, columns, most, scaling)
  const total = await scaledError(error, weight, scaling)
  const energies = new Float64Array(most)
  for (let i = 0; i < b.length; i++) energies[i % most] += b[i] * b[i]
  let best = { rank: 0, error: 1 }
  for (const rank of affordable) {
    const left = 1 - energies.subarray(0, rank).reduce((sum, energy) => sum + energy, 0) / total
    const growth = 4 ** (lowRankBits(rows, columns, rank) / (rows * columns))
    if (left * growth < best.error) best = { rank, error: left * growth }
  }
  return best.rank
}

/** ||E S||^2 for the S of the decomposition. */
async function scaledError(
  error: Float32Array,
  { rows, columns }: DenseWeights,
  scaling: LowRankScaling,
): Promise<number> {
  if (scaling.kind === 'hessian') {
    return rows * (await native.expectedErrorAsync(error, rows, columns, scaling.hessian))
  }
  let sum = 0
  for (let i = 0; i < error.length; i++) {
    const scale = scaling.kind === 'diagonal' ? scaling.scale[i % columns] : 1
    sum += (error[i] * scale) ** 2
  }
  return sum
}

/** The mean squared error of an output over the calibration inputs; without any, over inputs of unit variance. */
async function outputError(error: Float32Array, { rows, columns }: DenseWeights, hessian?: Hessian): Promise<number> {
  if (hessian !== undefined) return native.expectedErrorAsync(error, rows, columns, hessian.mean())
  return error.reduce((sum, value) => sum + value * value, 0) / rows
}
