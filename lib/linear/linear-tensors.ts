/** A quantized weight as metadata and named bytes, the form it is stored in (docs/architecture.md), without a file. */
import { Fields } from '../checkpoint/fields.js'
import { parseQuantizedMetadata, storedParts } from '../checkpoint/quantized-layout.js'
import type { QuantizedTensorMetadata } from '../checkpoint/quantized-metadata.js'
import { quantizedTensors } from '../checkpoint/quantized-parts.js'
import { readWeights, type StoredWeights } from '../checkpoint/read-weights.js'
import { tensorBytes } from '../checkpoint/tensor-format.js'
import { PyramidionError } from '../errors.js'

/** Bytes of each stored part, little-endian, by suffix without the dot. */
export type LinearTensors = Record<string, Uint8Array>

const NAME = 'weight'

/** In memory, so that every part is there at once. */
export function linearTensors(stored: StoredWeights): { metadata: QuantizedTensorMetadata; tensors: LinearTensors } {
  const { metadata, tensors } = quantizedTensors(NAME, stored)
  return {
    metadata,
    tensors: Object.fromEntries(tensors.map(({ name, data }) => [name.slice(NAME.length + 1), data() as Uint8Array])),
  }
}

/** Reads and validates the parts exactly as if they came from a file. */
export async function readLinear(metadata: QuantizedTensorMetadata, tensors: LinearTensors): Promise<StoredWeights> {
  const entry = parseQuantizedMetadata(new Fields(metadata as unknown as Record<string, unknown>, 'metadata'))
  for (const { suffix, format, shape } of storedParts(entry)) {
    const expected = tensorBytes(format, shape)
    const part = tensors[suffix.slice(1)]
    if (part?.length !== expected) {
      throw new PyramidionError(
        'INVALID_SHAPE',
        `tensors${suffix} must have ${expected} bytes, got ${part === undefined ? 'none' : part.length}`,
      )
    }
  }
  const source = {
    path: 'tensors',
    tensors: new Map(),
    quantized: new Map([[NAME, entry]]),
    read: async (name: string) => tensors[name.slice(NAME.length + 1)].slice(),
  }
  return readWeights(source, NAME)
}
