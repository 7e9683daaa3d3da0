/**
 * The codes (D, K, L) worth using, from the measured table, and the pairs of them that are mixed in one row to reach the
 * rates in between. Mixing two codes on the lower hull of (rate, error) is as good as any code of the rate between.
 */
import { codeBits } from '../checkpoint/quantized-layout.js'
import type { PvqTensorMetadata } from '../checkpoint/quantized-metadata.js'
import type { Lattice } from '../native.js'
import { barnesWallTable, type PvqTableColumn, pvqTable } from './pvq-table.js'

/** A segment of columns without its gain levels, which follow from (D, K, L) and the length of the row. */
export type SegmentShape = PvqTensorMetadata['segments'][number]

/** Weights a group may have. */
export const pvqDimensions = [2, 4, 8, 16, 32]

export const lattices: readonly Lattice[] = ['integer', 'barnes-wall']

export interface PvqCode {
  /** D: weights a group. */
  dimension: number
  /** K: pulses a group. */
  pulses: number
  /** L: gain levels. */
  levels: number
  /** Absent for the integers. */
  lattice?: Lattice
  /** ceil(log2(L N)), N the points of the pyramid; at most 64. */
  bits: number
  /** Expected squared error relative to the mean square, on N(0,1). */
  error: number
}

/** `fine` has more bits a weight than `coarse`; a code alone is a pair with itself. */
export interface PvqCodePair {
  fine: PvqCode
  coarse: PvqCode
}

/** Bits a weight. */
export const codeRate = (code: PvqCode): number => code.bits / code.dimension

/**
 * Codes of the table with this dimension, by increasing rate. With the Barnes-Wall lattice those of D = 16 are its own from
 * where it has any worth using, 1.4 bits a weight.
 */
export function tableCodes(dimension: number, lattice: Lattice = 'integer'): PvqCode[] {
  const codes = columnCodes(dimension, pvqTable[dimension])
  if (lattice === 'integer' || dimension !== 16) return codes
  const own = columnCodes(dimension, barnesWallTable, lattice)
  return [...codes.filter(({ bits }) => bits < own[0].bits), ...own]
}

function columnCodes(dimension: number, column: PvqTableColumn, lattice?: Lattice): PvqCode[] {
  return column.pulses.map((pulses, i) => {
    const shape = { dimension, pulses, levels: column.levels[i], ...(lattice && { lattice }) }
    return { ...shape, bits: codeBits(shape), error: column.error[i] }
  })
}

const pairCache = new Map<string, PvqCodePair[]>()

/**
 * Neighbours in rate of one dimension, and where a dimension ends at 64 bits, its last code with the next one of half the
 * dimension. With `dimension`, only pairs of that dimension.
 */
export function codePairs(dimension?: number, lattice: Lattice = 'integer'): PvqCodePair[] {
  const key = `${dimension}:${lattice}`
  const known = pairCache.get(key)
  if (known !== undefined) return known
  const pairs: PvqCodePair[] = []
  let smaller: PvqCode[] | undefined
  for (const each of dimension === undefined ? pvqDimensions : [dimension]) {
    const codes = tableCodes(each, lattice)
    codes.forEach((code, i) => {
      pairs.push({ fine: codes[i + 1] ?? code, coarse: code })
    })
    const last = codes[codes.length - 1]
    const next = smaller?.find(code => codeRate(code) > codeRate(last))
    if (next !== undefined) pairs.push({ fine: next, coarse: last })
    smaller = codes
  }
  pairCache.set(key, pairs)
  return pairs
}

/** Groups of 32 decode at half the speed of groups of 16: they must be this much better to be chosen. */
const SLOW_DIMENSION = 32
const SLOW_FACTOR = 1.03

/** What a pair's error counts for when pairs are compared. */
export function comparableError({ fine, coarse }: PvqCodePair, error: number): number {
  return Math.max(fine.dimension, coarse.dimension) >= SLOW_DIMENSION ? SLOW_FACTOR * error : error
}

/** The share of `fine` in a mix of this many bits a weight; outside 0 .. 1 when the pair cannot reach it. */
export function fineShare({ fine, coarse }: PvqCodePair, bits: number): number {
  const span = codeRate(fine) - codeRate(coarse)
  if (span === 0) return bits === codeRate(fine) ? 1 : Number.NaN
  return (bits - codeRate(coarse)) / span
}

/** A row of `columns` weights whose first `fineGroups` groups use the fine code; one or two segments. */
export function splitColumns({ fine, coarse }: PvqCodePair, columns: number, fineGroups: number): SegmentShape[] {
  const fineColumns = Math.min(columns, fineGroups * fine.dimension)
  return [shape(fine, fineColumns), shape(coarse, columns - fineColumns)].filter(segment => segment.columns > 0)
}

const shape = ({ dimension, pulses, levels, lattice }: PvqCode, columns: number): SegmentShape => ({
  columns,
  dimension,
  pulses,
  levels,
  ...(lattice && { lattice }),
})
