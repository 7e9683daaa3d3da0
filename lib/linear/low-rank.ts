/**
 * The low-rank correction of the LQER family: y = Q x + B (A x), with A (rank x in) and B (out x rank) from the leading
 * singular vectors of the scaled error E S, E = W - Q. Factors are stored in int8 with an f16 scale for 16 values.
 */
import { PyramidionError } from '../errors.js'
import { type LowRankFactors, type LowRankScaling, native } from '../native.js'
import type { Hessian } from './hessian.js'
import type { OutputWeights } from './output-weights.js'

/**
 * - `lqer`: SVD of E (arXiv 2402.02446);
 * - `l2qer`: SVD of E diag(s), s the magnitudes of the inputs (the same paper);
 * - `qera`: SVD of E M with M M^T = E[x x^T], which minimises the expected output error (QERA, ICLR 2025); where the outputs'
 *   gradients g are known, of L^T E M with L L^T = E[g g^T], which minimises the expected loss.
 */
export type LowRankMethod = 'lqer' | 'l2qer' | 'qera'
export const lowRankMethods: readonly LowRankMethod[] = ['lqer', 'l2qer', 'qera']

/** Added to the diagonal of E[x x^T], relative to its mean: few tokens leave the matrix singular. */
const RIDGE = 0.01
/** Smallest magnitude of an input, relative to the largest: an input that is always zero must not divide by zero. */
const MAGNITUDE_FLOOR = 1e-4
/** Values that share one scale, along the contraction axis. */
const BLOCK = 16

/** Throws CALIBRATION_REQUIRED when the method needs statistics of the inputs and there is no `what` to take them from. */
export function checkCalibrated(method: LowRankMethod, calibrated: boolean, what = 'a hessian'): void {
  if (method !== 'lqer' && !calibrated) {
    throw new PyramidionError(
      'CALIBRATION_REQUIRED',
      `the low-rank method ${method} needs ${what}: it weighs errors by what the layer sees`,
    )
  }
}

/** S of the singular value decomposition of E S; see {@link LowRankMethod}. `metric` (in x in): for `qera` instead of E[x x^T]. */
export function lowRankScaling(method: LowRankMethod, hessian?: Hessian, metric?: Float64Array): LowRankScaling {
  checkCalibrated(method, hessian !== undefined)
  if (method === 'lqer') return { kind: 'identity' }
  if (method === 'qera') return { kind: 'hessian', hessian: metric ?? hessian!.mean(), ridge: RIDGE }
  return { kind: 'diagonal', scale: magnitudeScale(hessian!.meanMagnitude()) }
}

/** L of the singular value decomposition of L^T E S: only `qera` weighs outputs as the loss does. */
export function outputWeightsOf(method: LowRankMethod, outputWeights?: OutputWeights): OutputWeights | undefined {
  return method === 'qera' ? outputWeights : undefined
}

/** s clamped from below, over sqrt(min s max s), so that the largest and the smallest are inverse. */
function magnitudeScale(magnitudes: Float64Array): Float64Array {
  const largest = magnitudes.reduce((most, value) => Math.max(most, value), 0)
  if (largest === 0) return magnitudes.map(() => 1)
  const clamped = magnitudes.map(value => Math.max(value, MAGNITUDE_FLOOR * largest))
  const smallest = clamped.reduce((least, value) => Math.min(least, value), largest)
  return clamped.map(value => value / Math.sqrt(smallest * largest))
}

/** A correction, and how codes and factors are made for each other. */
export interface LowRankSettings {
  method: LowRankMethod
  rank: number
  /**
   * Times that the factors, which begin as the leading part of W, are fitted to what the codes of the rest leave: W - B A is
   * coded, and B A fitted to W - Q. 0: codes of W itself, and factors of their error, as in the papers. Each time beyond the
   * first codes the layer once more.
   */
  refits: number
}

/** What a correction has when nothing else is said: as costly as none, and better on every model measured. */
export const DEFAULT_REFITS = 1

/** Bits stored for factors of this rank. */
export function lowRankBits(rows: number, columns: number, rank: number): number {
  const scales = rank * Math.ceil(columns / BLOCK) + rows * Math.ceil(rank / BLOCK)
  return 8 * rank * (rows + columns) + 16 * scales
}

/**
 * Rounds B (rows x rank) and A (rank x columns) to int8. Only the product matters, so both are first scaled to the same
 * largest magnitude: neither's scales then leave the range of f16.
 */
export function quantizeFactors(
  a: Float32Array,
  b: Float32Array,
  rows: number,
  columns: number,
  rank: number,
): LowRankFactors {
  const balance = Math.sqrt(largestMagnitude(b) / largestMagnitude(a))
  const factor = Number.isFinite(balance) && balance > 0 ? balance : 1
  const left = quantizeBlocks(a, rank, columns, factor)
  const right = quantizeBlocks(b, rows, rank, 1 / factor)
  return { rank, a: left.codes, aScales: left.scales, b: right.codes, bScales: right.scales }
}

const largestMagnitude = (values: Float32Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)

/** factor * values as codes * scale, |code| <= 127, one f16 scale for 16 values of a row. */
function quantizeBlocks(values: Float32Array, rows: number, columns: number, factor: number) {
  const blocks = Math.ceil(columns / BLOCK)
  const exact = new Float32Array(rows * blocks)
  const eachBlock = (visit: (block: number, start: number, end: number) => void) => {
    for (let row = 0; row < rows; row++) {
      for (let block = 0; block < blocks; block++) {
        const start = row * columns + block * BLOCK
        visit(row * blocks + block, start, Math.min(start + BLOCK, (row + 1) * columns))
      }
    }
  }
  eachBlock((block, start, end) => {
    exact[block] = (factor * largestMagnitude(values.subarray(start, end))) / 127
  })
  const scales = native.toHalf(exact)
  const rounded = native.fromHalf(scales)
  const codes = new Int8Array(values.length)
  eachBlock((block, start, end) => {
    if (rounded[block] === 0) return
    for (let i = start; i < end; i++) {
      codes[i] = Math.max(-127, Math.min(127, Math.round((factor * values[i]) / rounded[block])))
    }
  })
  return { codes, scales }
}
