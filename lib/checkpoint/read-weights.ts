/**
 * One weight of a checkpoint in the form the native layers take: plain or quantized, with its rotation and its low-rank
 * correction. What the header cannot show (scales, levels, codes) is validated here, before anything computes with it.
 */
import { PyramidionError } from '../errors.js'
import {
  type IntegerWeights,
  type LowRankFactors,
  type MxintWeights,
  native,
  type PvqWeights,
  type Weights,
} from '../native.js'
import type { ModelSource } from './model-source.js'
import type {
  IntegerTensorMetadata,
  MxintTensorMetadata,
  PvqTensorMetadata,
  QuantizedTensorMetadata,
  RotationMetadata,
} from './quantized-metadata.js'
import { isDenseFormat } from './tensor-format.js'

export interface StoredWeights {
  weights: Weights
  /** Null when the stored matrix is W itself; always null for plain weights. */
  rotation: RotationMetadata | null
  lowRank?: LowRankFactors
}

/** The part of a {@link ModelSource} that weights are read from. */
export type WeightSource = Pick<ModelSource, 'path' | 'tensors' | 'quantized' | 'read'>

/** The part of a {@link ModelSource} that layers of the graph are loaded from. */
export type GraphSource = WeightSource & Pick<ModelSource, 'config'>

/**
 * Reads the weight `name` (`....weight`), a matrix. Throws MISSING_TENSOR when the checkpoint has none, INVALID_SHAPE when
 * it is not a matrix, UNSUPPORTED_FORMAT when it holds whole numbers or f64, INVALID_FILE when a stored value is out of
 * range. Plain values are not looked at.
 */
export async function readWeights(source: WeightSource, name: string, signal?: AbortSignal): Promise<StoredWeights> {
  const metadata = source.quantized.get(name)
  if (!metadata) return { weights: await readDense(source, name, signal), rotation: null }
  const parts = new Parts(source, name, signal)
  const lowRank = metadata.rank > 0 ? await readLowRank(parts, metadata.rank) : undefined
  return {
    weights: await readQuantized(parts, metadata),
    rotation: metadata.rotation,
    ...(lowRank ? { lowRank } : {}),
  }
}

async function readDense(source: WeightSource, name: string, signal?: AbortSignal): Promise<Weights> {
  const tensor = source.tensors.get(name)
  if (!tensor) throw new PyramidionError('MISSING_TENSOR', `${source.path}: has no tensor ${name}`)
  const { format, shape } = tensor
  if (!isDenseFormat(format))
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${source.path}: weight ${name} is stored as ${format}, not as a float type`,
    )
  if (shape.length !== 2 || shape[0] < 1 || shape[1] < 1)
    throw new PyramidionError(
      'INVALID_SHAPE',
      `${source.path}: weight ${name} must be a matrix, its shape is [${shape}]`,
    )
  return { format, rows: shape[0], columns: shape[1], data: await source.read(name, signal) }
}

function readQuantized(parts: Parts, metadata: QuantizedTensorMetadata): Promise<Weights> {
  switch (metadata.format) {
    case 'pvq':
      return readPvq(parts, metadata)
    case 'integer':
      return readInteger(parts, metadata)
    case 'mxint':
      return readMxint(parts, metadata)
  }
}

async function readPvq(parts: Parts, { rows, columns, segments }: PvqTensorMetadata): Promise<PvqWeights> {
  const levels = new Float32Array((await parts.bytes('.levels')).buffer)
  let start = 0
  const weights: PvqWeights = {
    format: 'pvq',
    rows,
    columns,
    segments: segments.map(segment => {
      const own = levels.slice(start, start + segment.levels)
      start += segment.levels
      if (!own.every((level, i) => Number.isFinite(level) && level > (i === 0 ? 0 : own[i - 1])))
        throw parts.invalid('.levels', 'levels must be positive, finite and ascending')
      return { ...segment, levels: own }
    }),
    codes: await parts.bytes('.codes'),
    rowScale: await parts.halves('.row_scale'),
  }
  const row = native.pvqFirstInvalidRow(weights)
  if (row >= 0) throw parts.invalid('.codes', `row ${row} holds a code that stands for nothing`)
  return weights
}

async function readInteger(parts: Parts, metadata: IntegerTensorMetadata): Promise<IntegerWeights> {
  const { format, rows, columns, bits, groupSize, symmetric } = metadata
  const codes = await parts.bytes('.codes')
  const scales = await parts.halves('.scales')
  const weights: IntegerWeights = { format, rows, columns, bits, groupSize, codes, scales }
  return symmetric ? weights : { ...weights, minimums: await parts.halves('.minimums') }
}

async function readMxint(parts: Parts, metadata: MxintTensorMetadata): Promise<MxintWeights> {
  const { format, rows, columns, bits, blockSize } = metadata
  const exponents = await parts.bytes('.exponents')
  // Magnitudes are below 2^(bits-1), so w < 2^(bits - 1 + exponent - 127), which f32 must be able to hold.
  if (exponents.some(exponent => exponent > 255 - bits))
    throw parts.invalid('.exponents', `exponents may be at most ${255 - bits}`)
  return { format, rows, columns, bits, blockSize, codes: await parts.bytes('.codes'), exponents }
}

async function readLowRank(parts: Parts, rank: number): Promise<LowRankFactors> {
  return {
    rank,
    a: new Int8Array((await parts.bytes('.lowrank_a')).buffer),
    aScales: await parts.halves('.lowrank_a_scale'),
    b: new Int8Array((await parts.bytes('.lowrank_b')).buffer),
    bScales: await parts.halves('.lowrank_b_scale'),
  }
}

/** The stored parts of one quantized weight. */
class Parts {
  constructor(
    private readonly source: WeightSource,
    private readonly name: string,
    private readonly signal?: AbortSignal,
  ) {}

  bytes(suffix: string): Promise<Uint8Array> {
    return this.source.read(this.name + suffix, this.signal)
  }

  async halves(suffix: string): Promise<Uint16Array> {
    const halves = new Uint16Array((await this.bytes(suffix)).buffer)
    // An f16 with all exponent bits set is an infinity or not a number.
    if (halves.some(half => (half & 0x7c00) === 0x7c00)) throw this.invalid(suffix, 'a scale is not finite')
    return halves
  }

  invalid(suffix: string, what: string): PyramidionError {
    return new PyramidionError('INVALID_FILE', `${this.source.path}: tensor ${this.name}${suffix}: ${what}`)
  }
}
