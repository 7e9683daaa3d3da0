/** What is in a model on disk, and what it costs: read from the headers alone, no weights. */

import type { Architecture } from '../checkpoint/model-config.js'
import type { ModelSource } from '../checkpoint/model-source.js'
import { openModel } from '../checkpoint/open-model.js'
import type { QuantizedTensorMetadata } from '../checkpoint/quantized-metadata.js'
import { requiredTensors } from '../model/tensor-requirements.js'
import { sizeOf } from '../quantization/quantize-plan.js'
import { storedBits } from '../quantizers/stored-bits.js'

export interface WeightInspection {
  /** Hugging Face name. */
  name: string
  /** Row-major: [out, in] for a matrix. */
  shape: number[]
  /** `pvq`, `integer`, `mxint`, or the plain format it is stored in. */
  format: string
  /** What tells settings of one format apart, e.g. `D 16, K 27, L 9` for pvq; empty for plain formats. */
  settings: string
  /** Rank of the low-rank correction; 0 when there is none. */
  rank: number
  /** Everything stored for this tensor. */
  bitsPerWeight: number
  /** Whether it is one of the projections of attention and MLP, those `linearBitsPerWeight` is about. */
  linear: boolean
}

export interface Inspection {
  kind: ModelSource['kind']
  architecture: Architecture
  /** Values of all tensors of the original model. */
  parameters: number
  /** Bytes of the weight files, headers included. */
  bytes: number
  /** Bits of all tensors over all parameters. */
  bitsPerWeight: number
  /** The same for the projections of attention and MLP: codes, scales, levels, low-rank factors. */
  linearBitsPerWeight: number
  weights: WeightInspection[]
}

/** Opens and checks a model and lists its weights. Throws what {@link openModel} throws. */
export async function inspectModel(path: string): Promise<Inspection> {
  const source = await openModel(path)
  try {
    const linear = new Set(
      requiredTensors(source.config)
        .filter(tensor => tensor.role === 'linear')
        .map(tensor => tensor.name),
    )
    const weights = [...inspectWeights(source, linear)]
    return {
      kind: source.kind,
      architecture: source.config.architecture,
      parameters: weights.reduce((sum, weight) => sum + sizeOf(weight), 0),
      bytes: source.bytes,
      bitsPerWeight: meanBits(weights),
      linearBitsPerWeight: meanBits(weights.filter(weight => weight.linear)),
      weights,
    }
  } finally {
    await source.close()
  }
}

function* inspectWeights(source: ModelSource, linear: ReadonlySet<string>): Generator<WeightInspection> {
  for (const [name, metadata] of source.quantized) {
    const shape = [metadata.rows, metadata.columns]
    yield {
      name,
      shape,
      format: metadata.format,
      settings: settingsOf(metadata),
      rank: metadata.rank,
      bitsPerWeight: storedBits(metadata) / (metadata.rows * metadata.columns),
      linear: linear.has(name),
    }
  }
  for (const { name, shape, format, bytes } of source.tensors.values()) {
    if (partOfQuantized(source, name)) continue
    const bitsPerWeight = (8 * bytes) / sizeOf({ shape })
    yield { name, shape, format, settings: '', rank: 0, bitsPerWeight, linear: linear.has(name) }
  }
}

/** `X.weight.codes` and the like. */
function partOfQuantized(source: ModelSource, name: string): boolean {
  return source.quantized.has(name.slice(0, name.lastIndexOf('.')))
}

function settingsOf(metadata: QuantizedTensorMetadata): string {
  switch (metadata.format) {
    case 'pvq':
      return metadata.segments
        .map(
          ({ dimension, pulses, levels, lattice }) =>
            `D ${dimension}, K ${pulses}, L ${levels}${lattice === 'barnes-wall' ? ', Barnes-Wall' : ''}`,
        )
        .join(' + ')
    case 'integer':
      return `${metadata.bits} bits, groups of ${metadata.groupSize}${metadata.symmetric ? '' : ', asymmetric'}`
    case 'mxint':
      return `${metadata.bits} bits, blocks of ${metadata.blockSize}`
  }
}

function meanBits(weights: WeightInspection[]): number {
  let bits = 0
  let count = 0
  for (const weight of weights) {
    bits += weight.bitsPerWeight * sizeOf(weight)
    count += sizeOf(weight)
  }
  return count === 0 ? 0 : bits / count
}
