/** A quantizer of each kind for one matrix and a number of bits, everything counted. */
import { PyramidionError } from '../errors.js'
import type { Lattice } from '../native.js'
import { IntegerQuantizer } from './integer.js'
import { MxintQuantizer } from './mxint.js'
import { PvqQuantizer } from './pvq.js'
import { type PvqPlan, planPvq } from './pvq-rate.js'
import type { Quantizer } from './quantizer.js'

export type QuantizerName = Quantizer['name']
export const quantizerNames: readonly QuantizerName[] = ['pvq', 'integer', 'mxint']

/** How far from the request a baseline may land, in bits a weight: its settings are whole numbers. */
const BASELINE_REACH = 0.5

/**
 * The quantizer whose `storedBits(rows, columns)` is nearest to `bits`. The baselines have whole bits a weight, the rest
 * goes into smaller groups. `lattice`: of PVQ groups of 16. Throws RATE_OUT_OF_RANGE.
 */
export function planQuantizer(
  name: QuantizerName,
  rows: number,
  columns: number,
  bits: number,
  lattice?: Lattice,
): Quantizer {
  if (name === 'pvq') return plannedPvq(planPvq(rows, columns, bits, undefined, lattice), columns)
  const candidates = name === 'integer' ? integerCandidates(rows, columns, bits) : mxintCandidates(rows, columns, bits)
  const deviation = (quantizer: Quantizer) => Math.abs(quantizer.storedBits(rows, columns) - bits) / (rows * columns)
  const nearest = candidates.reduce((best, each) => (deviation(each) < deviation(best) ? each : best))
  if (deviation(nearest) > BASELINE_REACH) {
    throw new PyramidionError(
      'RATE_OUT_OF_RANGE',
      `a ${rows} x ${columns} matrix as ${name} takes at least ` +
        `${(nearest.storedBits(rows, columns) / (rows * columns)).toFixed(2)} bits a weight with everything counted, ` +
        `got ${(bits / (rows * columns)).toFixed(2)}`,
    )
  }
  return nearest
}

/** The quantizer of a plan for rows of this length. */
export function plannedPvq({ pair, fineGroups }: PvqPlan, columns: number): PvqQuantizer {
  return new PvqQuantizer(pair, Math.min(1, (fineGroups * pair.fine.dimension) / columns))
}

/** Group sizes around the one that spends what `codes` bits a weight leave over on `groupBits` bits a group. */
function groupSizes(rows: number, columns: number, bits: number, codes: number, groupBits: number): number[] {
  const left = bits / rows - 8 * Math.ceil((columns * codes) / 8)
  const size = left > 0 ? Math.round((columns * groupBits) / left) : columns
  return [size - 1, size, size + 1].map(each => Math.max(1, Math.min(columns, each)))
}

/** Asymmetric groups, and symmetric ones, which cost half. */
function integerCandidates(rows: number, columns: number, bits: number): Quantizer[] {
  const codes = wholeBits(rows, columns, bits, 2)
  return [false, true].flatMap(symmetric =>
    groupSizes(rows, columns, bits, codes, symmetric ? 16 : 32).map(
      groupSize => new IntegerQuantizer({ bits: codes, groupSize, symmetric }),
    ),
  )
}

function mxintCandidates(rows: number, columns: number, bits: number): Quantizer[] {
  const codes = wholeBits(rows, columns, bits, 2)
  return groupSizes(rows, columns, bits, codes, 8).map(blockSize => new MxintQuantizer({ bits: codes, blockSize }))
}

/** The most bits a code that leave something for scales. */
function wholeBits(rows: number, columns: number, bits: number, least: number): number {
  return Math.min(8, Math.max(least, Math.ceil(bits / (rows * columns)) - 1))
}
