/**
 * Meets a rate with everything counted: chooses for one matrix the codes of its columns so that codes, padding, row
 * scales and gain levels together take as many bits as asked for, with the least expected error.
 */
import { PyramidionError } from '../errors.js'
import type { Lattice } from '../native.js'
import { codePairs, codeRate, comparableError, type PvqCodePair } from './pvq-code.js'

const ROW_SCALE_BITS = 16
const LEVEL_BITS = 32

/** How far from the target a choice may be and still compete by its error, in bits a weight. */
const TOLERANCE = 0.0025
/** A rate further off than this is out of reach, in bits a weight; short rows may miss by one group or byte a row. */
const REACH = 0.01

export interface PvqPlan {
  pair: PvqCodePair
  /** Groups of the fine code, at the start of each row. */
  fineGroups: number
  /** Bits stored. */
  bits: number
  /** Expected squared error relative to the mean square, for Gaussian weights. */
  error: number
}

/**
 * Segments for a rows x columns matrix that take `bits` bits in all. Rows of 600 weights and more land within 0.007 bit a
 * weight; shorter rows as close as whole bytes a row allow.
 *
 * @param dimension group size D; by default the one with the least error.
 * @param lattice of groups of 16.
 * @throws RATE_OUT_OF_RANGE when no choice comes close.
 */
export function planPvq(rows: number, columns: number, bits: number, dimension?: number, lattice?: Lattice): PvqPlan {
  const weights = rows * columns
  const tolerance = Math.max(TOLERANCE, 4.5 / columns)
  const plans = codePairs(dimension, lattice).map(pair => closestSplit(pair, rows, columns, bits))
  const deviation = (plan: PvqPlan) => Math.abs(plan.bits - bits) / weights
  const nearest = plans.reduce((best, plan) => (deviation(plan) < deviation(best) ? plan : best))
  if (deviation(nearest) > Math.max(REACH, 8 / columns)) {
    const rates = plans.map(plan => plan.bits / weights)
    const [low, high] = [Math.min(...rates), Math.max(...rates)].map(rate => rate.toFixed(2))
    throw new PyramidionError(
      'RATE_OUT_OF_RANGE',
      `a ${rows} x ${columns} matrix takes from ${low} to ${high} bits a weight with everything counted` +
        `${dimension === undefined ? '' : ` in groups of ${dimension}`}, got ${(bits / weights).toFixed(2)}`,
    )
  }
  // Error at exactly the target: 6.02 dB a bit.
  const fairError = (plan: PvqPlan) => comparableError(plan.pair, plan.error) * 4 ** ((plan.bits - bits) / weights)
  return plans
    .filter(plan => deviation(plan) <= tolerance)
    .reduce((best, plan) => (fairError(plan) < fairError(best) ? plan : best), nearest)
}

/**
 * Every plan worth choosing for a rows x columns matrix between two rates in bits a weight, everything counted: by increasing
 * bits, each with less error (as {@link comparableError} sees it) than all before it. Empty when no plan is that small.
 */
export function efficientPlans(
  rows: number,
  columns: number,
  minimum: number,
  maximum: number,
  lattice?: Lattice,
): PvqPlan[] {
  const weights = rows * columns
  const plans = codePairs(undefined, lattice).flatMap(pair => {
    const most = Math.ceil(columns / pair.fine.dimension)
    const [low, high] = [planOf(pair, rows, columns, 0), planOf(pair, rows, columns, most)]
    if (high.bits < minimum * weights || low.bits > maximum * weights) return []
    return [...Array(most + 1).keys()].map(groups => planOf(pair, rows, columns, groups))
  })
  const fair = (plan: PvqPlan) => comparableError(plan.pair, plan.error)
  let least = Number.POSITIVE_INFINITY
  return plans
    .filter(({ bits }) => bits >= minimum * weights && bits <= maximum * weights)
    .sort((a, b) => a.bits - b.bits || fair(a) - fair(b))
    .filter(plan => {
      const better = fair(plan) < least
      if (better) least = fair(plan)
      return better
    })
}

/** The number of fine groups whose total is nearest to `bits`. */
function closestSplit(pair: PvqCodePair, rows: number, columns: number, bits: number): PvqPlan {
  const { fine, coarse } = pair
  const most = Math.ceil(columns / fine.dimension)
  const perRow = (bits - LEVEL_BITS * (fine.levels + coarse.levels)) / rows - ROW_SCALE_BITS
  const slope = fine.dimension * (codeRate(fine) - codeRate(coarse))
  const guess = slope === 0 ? most : Math.round((perRow - columns * codeRate(coarse)) / slope)
  // Both segments end on a byte, so the total is within 2 bytes of the line the guess is on.
  const window = Math.ceil(16 / Math.max(slope, 1))
  const first = Math.min(Math.max(0, guess - window), most)
  const last = Math.min(Math.max(0, guess + window), most)
  const groupCounts = [...Array(last - first + 1).keys()].map(i => first + i)
  return [...groupCounts, 0, most]
    .map(groups => planOf(pair, rows, columns, groups))
    .reduce((best, plan) => (Math.abs(plan.bits - bits) < Math.abs(best.bits - bits) ? plan : best))
}

function planOf(pair: PvqCodePair, rows: number, columns: number, fineGroups: number): PvqPlan {
  const { fine, coarse } = pair
  const fineColumns = Math.min(columns, fineGroups * fine.dimension)
  const coarseGroups = Math.ceil((columns - fineColumns) / coarse.dimension)
  const bytes = Math.ceil((fineGroups * fine.bits) / 8) + Math.ceil((coarseGroups * coarse.bits) / 8)
  const levels = (fineGroups > 0 ? fine.levels : 0) + (coarseGroups > 0 ? coarse.levels : 0)
  return {
    pair,
    fineGroups,
    bits: rows * (8 * bytes + ROW_SCALE_BITS) + LEVEL_BITS * levels,
    error: (fineColumns * fine.error + (columns - fineColumns) * coarse.error) / columns,
  }
}
