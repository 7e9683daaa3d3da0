/**
 * The tensors a quantized weight is stored as: their suffixes, formats and shapes follow from its metadata entry alone.
 * Writers and readers both use {@link storedParts}, and {@link parseQuantizedMetadata} checks the entry itself.
 */
import { PyramidionError } from '../errors.js'
import { Fields } from './fields.js'
import type { TensorFormat } from './model-source.js'
import { barnesWall, isBarnesWallPulses, type PyramidShape, pyramidCount } from './pyramid-count.js'
import type { PvqTensorMetadata, QuantizedTensorMetadata, RotationMetadata } from './quantized-metadata.js'

/** Values that share one scale in a low-rank factor. */
export const lowRankBlock = 16

export interface StoredPart {
  /** Appended to the weight's name: `.codes`. */
  suffix: string
  format: TensorFormat
  shape: number[]
}

const sizeRange = { minimum: 1, maximum: 2 ** 24 }
const dimensions = [2, 4, 8, 16, 32]
/** Pulses are int16 in the codec's interface. */
const maximumPulses = 32_767

/** Bits of one group's code: ceil(log2(L N)), N the points of the pyramid. Beyond 64 there is no such code. */
export function codeBits(segment: PyramidShape & { levels: number }): number {
  const codes = BigInt(segment.levels) * pyramidCount(segment)
  return codes <= 1n ? 0 : (codes - 1n).toString(2).length
}

function rowBytes(metadata: QuantizedTensorMetadata): number {
  if (metadata.format !== 'pvq') return Math.ceil((metadata.columns * metadata.bits) / 8)
  return metadata.segments.reduce(
    (bytes, segment) => bytes + Math.ceil((Math.ceil(segment.columns / segment.dimension) * codeBits(segment)) / 8),
    0,
  )
}

export function storedParts(metadata: QuantizedTensorMetadata): StoredPart[] {
  const { rows, columns, rank } = metadata
  const parts: StoredPart[] = [{ suffix: '.codes', format: 'u8', shape: [rows, rowBytes(metadata)] }]
  switch (metadata.format) {
    case 'pvq': {
      const levels = metadata.segments.reduce((sum, segment) => sum + segment.levels, 0)
      parts.push({ suffix: '.row_scale', format: 'f16', shape: [rows] })
      parts.push({ suffix: '.levels', format: 'f32', shape: [levels] })
      break
    }
    case 'integer': {
      const shape = [rows, Math.ceil(columns / metadata.groupSize)]
      parts.push({ suffix: '.scales', format: 'f16', shape })
      if (!metadata.symmetric) parts.push({ suffix: '.minimums', format: 'f16', shape })
      break
    }
    case 'mxint':
      parts.push({ suffix: '.exponents', format: 'u8', shape: [rows, Math.ceil(columns / metadata.blockSize)] })
  }
  if (rank > 0)
    parts.push(
      { suffix: '.lowrank_a', format: 'i8', shape: [rank, columns] },
      { suffix: '.lowrank_a_scale', format: 'f16', shape: [rank, Math.ceil(columns / lowRankBlock)] },
      { suffix: '.lowrank_b', format: 'i8', shape: [rows, rank] },
      { suffix: '.lowrank_b_scale', format: 'f16', shape: [rows, Math.ceil(rank / lowRankBlock)] },
    )
  return parts
}

/** The metadata entry of one weight, checked: ranges, segments against columns, codes of at most 64 bits. */
export function parseQuantizedMetadata(fields: Fields): QuantizedTensorMetadata {
  const rows = fields.integer('rows', sizeRange)
  const columns = fields.integer('columns', sizeRange)
  const common = {
    rows,
    columns,
    rotation: parseRotation(fields),
    rank: fields.integer('rank', { minimum: 0, maximum: Math.min(rows, columns) }, 0),
  }
  const format = fields.string('format')
  switch (format) {
    case 'pvq':
      return { format, ...common, segments: parseSegments(fields, columns) }
    case 'integer':
      return {
        format,
        ...common,
        bits: fields.integer('bits', { minimum: 1, maximum: 8 }),
        groupSize: fields.integer('groupSize', sizeRange),
        symmetric: fields.boolean('symmetric'),
      }
    case 'mxint':
      return {
        format,
        ...common,
        bits: fields.integer('bits', { minimum: 2, maximum: 8 }),
        blockSize: fields.integer('blockSize', sizeRange),
      }
    default:
      throw new PyramidionError(
        'UNSUPPORTED_FORMAT',
        `${fields.where}: format is ${format}; supported are pvq, integer and mxint`,
      )
  }
}

function parseRotation(fields: Fields): RotationMetadata | null {
  if (!fields.has('rotation')) return null
  const rotation = fields.object('rotation')
  const kind = rotation.string('kind')
  if (kind !== 'hadamard')
    throw new PyramidionError('UNSUPPORTED_FORMAT', `${rotation.where}: kind is ${kind}; supported is hadamard`)
  return { kind, seed: rotation.integer('seed', { minimum: 0, maximum: 2 ** 32 - 1 }) }
}

function parseSegments(fields: Fields, columns: number): PvqTensorMetadata['segments'] {
  const entries = fields.array('segments')
  if (entries.length < 1 || entries.length > 16) fields.fail('segments', 'an array of 1 to 16 segments')
  const segments = entries.map((_, index) => {
    const segment = new Fields({ segment: entries[index] }, fields.where).object('segment')
    const dimension = segment.integer('dimension', { minimum: 2, maximum: 32 })
    if (!dimensions.includes(dimension)) segment.fail('dimension', 'a power of two from 2 to 32')
    const parsed: PvqTensorMetadata['segments'][number] = {
      columns: segment.integer('columns', { minimum: 1, maximum: columns }),
      dimension,
      pulses: segment.integer('pulses', { minimum: 1, maximum: maximumPulses }),
      levels: segment.integer('levels', { minimum: 1, maximum: 2 ** 16 }),
    }
    if (isBarnesWall(segment)) {
      if (dimension !== barnesWall.dimension) segment.fail('dimension', '16 for the Barnes-Wall lattice')
      if (!isBarnesWallPulses(parsed.pulses))
        segment.fail('pulses', 'even and from 8 to 98 for the Barnes-Wall lattice')
      parsed.lattice = 'barnes-wall'
    }
    if (index < entries.length - 1 && parsed.columns % dimension !== 0)
      segment.fail('columns', `a multiple of the dimension, ${dimension}, in every segment but the last`)
    if (codeBits(parsed) > 64) segment.fail('pulses', 'small enough that a code fits 64 bits')
    return parsed
  })
  const total = segments.reduce((sum, segment) => sum + segment.columns, 0)
  if (total !== columns) fields.fail('segments', `segments whose columns sum to ${columns} (they sum to ${total})`)
  return segments
}

/** The integer lattice may be named or not. */
function isBarnesWall(segment: Fields): boolean {
  const lattice = segment.has('lattice') ? segment.string('lattice') : 'integer'
  if (lattice !== 'integer' && lattice !== 'barnes-wall')
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${segment.where}: lattice is ${lattice}; supported are integer and barnes-wall`,
    )
  return lattice === 'barnes-wall'
}
