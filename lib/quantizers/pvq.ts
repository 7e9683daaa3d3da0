/**
 * Pyramid vector quantization (Fischer 1986; arXiv 2410.16926): a group of D weights is a direction p in P(D,K), the points
 * of a lattice with sum |p_i| = K, times one of L gain levels, times the scale of its row. See docs/architecture.md,
 * "PVQ rows".
 */

import { barnesWall, isBarnesWallPulses } from '../checkpoint/pyramid-count.js'
import { codeBits, storedParts } from '../checkpoint/quantized-layout.js'
import type { PvqTensorMetadata } from '../checkpoint/quantized-metadata.js'
import { PyramidionError } from '../errors.js'
import { type Lattice, native, type PvqWeights } from '../native.js'
import { decodeAll } from './decode.js'
import { type ErrorStatistics, errorStatistics } from './error-statistics.js'
import { checkInteger, checkMatrix } from './matrix-values.js'
import {
  codePairs,
  codeRate,
  comparableError,
  fineShare,
  lattices,
  type PvqCode,
  type PvqCodePair,
  pvqDimensions,
  type SegmentShape,
  splitColumns,
} from './pvq-code.js'
import { pvqSegments } from './pvq-levels.js'
import type { EncodeOptions, QuantizedWeights, Quantizer } from './quantizer.js'
import { runRows } from './row-job.js'
import { storedBits } from './stored-bits.js'

/** Largest row; what the stored format allows. */
const MAXIMUM_COLUMNS = 1 << 24
const HALF_INFINITY = 0x7c00

/** One code, chosen by hand. */
export interface PvqCodeOptions {
  /** D, weights a group: 2, 4, 8, 16 or 32; 1 only for indices and packing. */
  dimension: number
  /** K, pulses a group: at least 1. */
  pulses: number
  /** L, gain levels: 1 to 65536. A code, `ceil(log2(L * count))` bits, must fit 64 bits. */
  levels: number
  /**
   * The integer points of the pyramid, or those of the Barnes-Wall lattice: `dimension` is 16 then and `pulses` even and from 8
   * to 98. About 9 % less error at the same rate from 2 bits a weight up. Default `integer`.
   */
  lattice?: Lattice
}

/** The best code or mix of two codes for a rate. */
export interface PvqRateOptions {
  /** Bits a weight of the codes, 1 to 8; row scales and levels are not counted here. */
  bits: number
  /** D; by default the one with the least error. */
  dimension?: number
  /** Of groups of 16, from 1.4 bits a weight up. Default `integer`. */
  lattice?: Lattice
}

export interface PvqEncodeOptions extends EncodeOptions {
  /**
   * On the first usable GPU, to the same bytes; default false. Throws UNSUPPORTED_FORMAT then for codes that no kernel knows,
   * DEVICE_UNAVAILABLE, DEVICE_ERROR, OUT_OF_MEMORY.
   */
  onGpu?: boolean
}

/** One row as {@link PvqQuantizer.encode} gives it. */
export interface PvqRow {
  /** Little-endian bit stream, bit 0 first; each segment starts on a byte. */
  codes: Uint8Array
  /** Scale of the row, a number that f16 represents. */
  scale: number
}

/**
 * A PVQ quantizer: `pvq({ dimension: 16, pulses: 24, levels: 7 })`, or `pvq({ bits: 3.3 })`, which where needed mixes two
 * codes in a row; with `lattice: 'barnes-wall'` on that lattice. Throws INVALID_ARGUMENT for settings out of range, RATE_OUT_OF_RANGE for a rate that the dimension does
 * not reach.
 */
export function pvq(options: PvqCodeOptions | PvqRateOptions): PvqQuantizer {
  if (!('pulses' in options)) return quantizerForRate(options)
  const { dimension, pulses, levels, lattice = 'integer' } = options
  if (dimension !== 1) checkDimension(dimension)
  checkLattice(lattice, dimension)
  checkInteger('pulses', pulses, 1, 32767)
  if (lattice === 'barnes-wall' && !isBarnesWallPulses(pulses)) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `pulses must be even and from ${barnesWall.leastPulses} to ${barnesWall.mostPulses} for the Barnes-Wall lattice, got ${pulses}`,
    )
  }
  checkInteger('levels', levels, 1, 65536)
  const bits = codeBits({ dimension, pulses, levels, lattice })
  if (bits > 64) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `pulses and levels must give a code of at most 64 bits, got ${bits} bits for dimension ${dimension}, ` +
        `pulses ${pulses}, levels ${levels}`,
    )
  }
  const own = lattice === 'integer' ? {} : { lattice }
  const code: PvqCode = { dimension, pulses, levels, ...own, bits, error: Number.NaN }
  return new PvqQuantizer({ fine: code, coarse: code }, 1)
}

export class PvqQuantizer implements Quantizer {
  readonly name = 'pvq'
  /** D, K, L and the lattice of the code that most columns have. */
  readonly dimension: number
  readonly pulses: number
  readonly levels: number
  readonly lattice: Lattice
  /** The number of directions: N(D,K) for the integers. */
  readonly count: bigint
  /** Bits of one group's code: ceil(log2(L * count)). */
  readonly codeBits: number
  /** Bits a weight of the codes, the mean over a long row. */
  readonly bitsPerWeight: number

  /** @internal Use {@link pvq}. `share`: the part of the columns, 0 to 1, that has the fine code. */
  constructor(
    private readonly pair: PvqCodePair,
    private readonly share: number,
  ) {
    const main = share >= 0.5 ? pair.fine : pair.coarse
    this.dimension = main.dimension
    this.pulses = main.pulses
    this.levels = main.levels
    this.codeBits = main.bits
    this.lattice = main.lattice ?? 'integer'
    this.count = native.pvqCount(main.dimension, main.pulses, this.lattice)
    this.bitsPerWeight = share * codeRate(pair.fine) + (1 - share) * codeRate(pair.coarse)
  }

  /** The codes of each run of columns in a row of this length. */
  segmentShapes(columns: number): SegmentShape[] {
    checkInteger('columns', columns, 1, MAXIMUM_COLUMNS)
    const groups = (this.share * columns) / this.pair.fine.dimension
    return splitColumns(this.pair, columns, this.share === 1 ? Math.ceil(groups) : Math.round(groups))
  }

  metadata(rows: number, columns: number): PvqTensorMetadata {
    return { format: 'pvq', rows, columns, segments: this.segmentShapes(columns), rotation: null, rank: 0 }
  }

  storedBits(rows: number, columns: number): number {
    return storedBits(this.metadata(rows, columns))
  }

  encodeRows(values: Float32Array, rows: number, columns: number): PvqWeights {
    checkMatrix(values, rows, columns)
    const segments = pvqSegments(this.segmentShapes(columns), columns)
    return { format: 'pvq', rows, columns, segments, ...native.pvqEncode(values, rows, columns, segments) }
  }

  async encodeRowsAsync(
    values: Float32Array,
    rows: number,
    columns: number,
    options: PvqEncodeOptions = {},
  ): Promise<PvqWeights> {
    checkMatrix(values, rows, columns)
    const segments = pvqSegments(this.segmentShapes(columns), columns)
    const encoded = await runRows(rows, options, control =>
      native.pvqEncodeAsync(values, rows, columns, segments, control, options.onGpu),
    )
    return { format: 'pvq', rows, columns, segments, ...encoded }
  }

  decodeRows(weights: QuantizedWeights): Float32Array {
    return decodeAll(weights)
  }

  errorStatistics(values: Float32Array, rows: number, columns: number): ErrorStatistics {
    return errorStatistics(values, this.decodeRows(this.encodeRows(values, rows, columns)))
  }

  /** Codes one row of n D values. The scale is fitted to the row. */
  encode(values: Float32Array): PvqRow {
    checkMatrix(values, 1, values.length)
    this.checkWholeGroups('values', values.length)
    const { codes, rowScale } = this.encodeRows(values, 1, values.length)
    return { codes, scale: native.fromHalf(rowScale)[0] }
  }

  /** The n D values of one row of n groups. Throws INVALID_SHAPE or INVALID_ARGUMENT for codes that no row has. */
  decode(codes: Uint8Array, scale: number, n: number): Float32Array {
    checkInteger('n', n, 1, MAXIMUM_COLUMNS / this.dimension)
    const rowScale = native.toHalf(Float32Array.of(scale))
    if (!(scale >= 0) || rowScale[0] >= HALF_INFINITY) {
      throw new PyramidionError('INVALID_ARGUMENT', `scale must be a number from 0 to 65504, got ${scale}`)
    }
    const columns = n * this.dimension
    const segments = pvqSegments(this.segmentShapes(columns), columns)
    const weights: PvqWeights = { format: 'pvq', rows: 1, columns, segments, codes, rowScale }
    checkLength('codes', codes, storedParts(this.metadata(1, columns))[0].shape[1])
    if (native.pvqFirstInvalidRow(weights) >= 0) {
      throw new PyramidionError('INVALID_ARGUMENT', `codes must be below levels x count and end in zero bits`)
    }
    return this.decodeRows(weights)
  }

  /** The indices (n) of n points of D integers each; every point must be of the lattice and have sum |p_i| = K. */
  indexOf(points: Int16Array): BigUint64Array {
    this.checkWholeGroups('points', points.length)
    return native.pvqIndices(this.dimension, this.pulses, points, this.lattice)
  }

  /** The points (n D integers) at n indices; every index must be below {@link count}. */
  pointsOf(indices: BigUint64Array): Int16Array {
    return native.pvqPoints(this.dimension, this.pulses, indices, this.lattice)
  }

  /** The bit stream of n groups, each `level number * count + index` in {@link codeBits} bits. */
  pack(indices: BigUint64Array, levels: ArrayLike<number>): Uint8Array {
    if (levels.length !== indices.length) {
      throw new PyramidionError(
        'INVALID_SHAPE',
        `levels must have one number for each of the ${indices.length} indices, got ${levels.length}`,
      )
    }
    const codes = new BigUint64Array(indices.length)
    for (let i = 0; i < codes.length; i++) {
      checkInteger(`levels[${i}]`, levels[i], 0, this.levels - 1)
      if (indices[i] >= this.count) {
        throw new PyramidionError(
          'INVALID_ARGUMENT',
          `indices[${i}] must be below count, ${this.count}, got ${indices[i]}`,
        )
      }
      codes[i] = BigInt(levels[i]) * this.count + indices[i]
    }
    return native.packCodes(codes, this.codeBits)
  }

  /** The indices and level numbers of the n groups in `bytes`, the inverse of {@link pack}. */
  unpack(bytes: Uint8Array, n: number): { indices: BigUint64Array; levels: Uint16Array } {
    checkInteger('n', n, 0, MAXIMUM_COLUMNS)
    checkLength('bytes', bytes, Math.ceil((n * this.codeBits) / 8))
    const codes = native.unpackCodes(bytes, this.codeBits, n)
    const indices = new BigUint64Array(n)
    const levels = new Uint16Array(n)
    for (let i = 0; i < n; i++) {
      const level = codes[i] / this.count
      if (level >= BigInt(this.levels)) {
        throw new PyramidionError('INVALID_ARGUMENT', `code ${i} must be below levels x count, got ${codes[i]}`)
      }
      levels[i] = Number(level)
      indices[i] = codes[i] % this.count
    }
    return { indices, levels }
  }

  private checkWholeGroups(name: string, length: number): void {
    if (length % this.dimension !== 0) {
      throw new PyramidionError(
        'INVALID_SHAPE',
        `${name} must hold whole groups of ${this.dimension}, got ${length} values`,
      )
    }
  }
}

/** The pair and share with the least expected error at this rate. */
function quantizerForRate({ bits, dimension, lattice = 'integer' }: PvqRateOptions): PvqQuantizer {
  if (dimension !== undefined) checkDimension(dimension)
  checkLattice(lattice, dimension)
  if (!(bits >= 1 && bits <= 8)) {
    throw new PyramidionError('RATE_OUT_OF_RANGE', `bits must be between 1 and 8, got ${bits}`)
  }
  const choices = codePairs(dimension, lattice)
    .map(pair => ({ pair, share: fineShare(pair, bits) }))
    .filter(({ share }) => share >= 0 && share <= 1)
  if (choices.length === 0) {
    const rates = codePairs(dimension, lattice).map(({ fine }) => codeRate(fine))
    throw new PyramidionError(
      'RATE_OUT_OF_RANGE',
      `bits must be at most ${Math.max(...rates)} for dimension ${dimension}, got ${bits}`,
    )
  }
  const error = ({ pair, share }: (typeof choices)[number]) =>
    comparableError(pair, share * pair.fine.error + (1 - share) * pair.coarse.error)
  const best = choices.reduce((least, choice) => (error(choice) < error(least) ? choice : least))
  return new PvqQuantizer(best.pair, best.share)
}

function checkDimension(dimension: number): void {
  if (!pvqDimensions.includes(dimension)) {
    throw new PyramidionError('INVALID_ARGUMENT', `dimension must be 2, 4, 8, 16 or 32, got ${dimension}`)
  }
}

/** Throws INVALID_ARGUMENT unless the lattice is known and has groups of this dimension, if one is given. */
export function checkLattice(lattice: Lattice, dimension?: number): void {
  if (!lattices.includes(lattice)) {
    throw new PyramidionError('INVALID_ARGUMENT', `lattice must be integer or barnes-wall, got ${lattice}`)
  }
  if (lattice === 'barnes-wall' && dimension !== undefined && dimension !== barnesWall.dimension) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `dimension must be ${barnesWall.dimension} for the Barnes-Wall lattice, got ${dimension}`,
    )
  }
}

function checkLength(name: string, bytes: Uint8Array, expected: number): void {
  if (bytes.length !== expected) {
    throw new PyramidionError('INVALID_SHAPE', `${name} must have ${expected} bytes, got ${bytes.length}`)
  }
}
