/** A quantized weight in memory as the metadata entry and the tensors it is stored as. */
import { PyramidionError } from '../errors.js'
import type { LowRankFactors, Weights } from '../native.js'
import { Fields } from './fields.js'
import { parseQuantizedMetadata, storedParts } from './quantized-layout.js'
import type { QuantizedTensorMetadata, RotationMetadata } from './quantized-metadata.js'
import type { StoredWeights } from './read-weights.js'
import type { TensorToWrite } from './safetensors-writer.js'
import { tensorBytes } from './tensor-format.js'

type QuantizedWeights = Exclude<Weights, { data: Uint8Array }>

/** The entry of docs/architecture.md, "The quantized folder"; throws INVALID_FILE where a reader would refuse it. */
function metadataOf(
  weights: QuantizedWeights,
  rotation: RotationMetadata | null,
  rank: number,
  name: string,
): QuantizedTensorMetadata {
  const { format, rows, columns } = weights
  const common = { rows, columns, rotation, rank }
  const own = () => {
    switch (format) {
      case 'pvq':
        return {
          segments: weights.segments.map(segment => ({ ...segment, levels: segment.levels.length })),
        }
      case 'integer':
        return { bits: weights.bits, groupSize: weights.groupSize, symmetric: weights.minimums === undefined }
      case 'mxint':
        return { bits: weights.bits, blockSize: weights.blockSize }
    }
  }
  return parseQuantizedMetadata(new Fields({ format, ...common, ...own() }, `weight ${name}`))
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** Bytes by suffix. */
function dataOf(weights: QuantizedWeights, lowRank: LowRankFactors | undefined): Map<string, Uint8Array> {
  const data = new Map([['.codes', weights.codes]])
  switch (weights.format) {
    case 'pvq': {
      const levels = Float32Array.from(weights.segments.flatMap(segment => [...segment.levels]))
      data.set('.levels', bytesOf(levels)).set('.row_scale', bytesOf(weights.rowScale))
      break
    }
    case 'integer':
      data.set('.scales', bytesOf(weights.scales))
      if (weights.minimums) data.set('.minimums', bytesOf(weights.minimums))
      break
    case 'mxint':
      data.set('.exponents', weights.exponents)
  }
  if (lowRank)
    data
      .set('.lowrank_a', bytesOf(lowRank.a))
      .set('.lowrank_a_scale', bytesOf(lowRank.aScales))
      .set('.lowrank_b', bytesOf(lowRank.b))
      .set('.lowrank_b_scale', bytesOf(lowRank.bScales))
  return data
}

/** Everything stored for the weight `name`. Throws INVALID_SHAPE where an array has not the length its settings ask for. */
export function quantizedTensors(
  name: string,
  { weights, rotation, lowRank }: StoredWeights,
): { metadata: QuantizedTensorMetadata; tensors: TensorToWrite[] } {
  if (!('codes' in weights))
    throw new PyramidionError('INVALID_ARGUMENT', `weight ${name} is not quantized, its format is ${weights.format}`)
  const metadata = metadataOf(weights, rotation, lowRank?.rank ?? 0, name)
  const data = dataOf(weights, lowRank)
  const tensors = storedParts(metadata).map(({ suffix, format, shape }) => {
    const bytes = tensorBytes(format, shape) as number
    const part = data.get(suffix)
    if (part?.length !== bytes)
      throw new PyramidionError(
        'INVALID_SHAPE',
        `tensor ${name}${suffix} must have ${bytes} bytes, got ${part?.length}`,
      )
    return { name: name + suffix, format, shape, bytes, data: () => part }
  })
  return { metadata, tensors }
}
