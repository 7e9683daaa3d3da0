/** How the weights of a quantized folder are cut into files, and how large those are: known before any weight is written. */
import type { TensorInfo } from './model-source.js'
import { compareNames, safetensorsBytes } from './safetensors-writer.js'

/** What is stored for one weight. */
export interface WeightParts {
  tensors: readonly TensorInfo[]
  /** The quantized weight's metadata entry as JSON; absent for plain tensors. */
  entry?: string
}

/** Bytes of values in one file, but one weight at least. */
export const defaultShardBytes = 5e9

/** Weights by name, cut into runs of at most `limit` bytes. */
export function shardsOf<T extends WeightParts>(weights: ReadonlyMap<string, T>, limit: number): [string, T][][] {
  const shards: [string, T][][] = [[]]
  let size = 0
  for (const item of [...weights].sort(([a], [b]) => compareNames(a, b))) {
    const bytes = partBytes(item[1])
    if (size > 0 && size + bytes > limit) {
      shards.push([])
      size = 0
    }
    shards[shards.length - 1].push(item)
    size += bytes
  }
  return shards
}

export function partBytes({ tensors }: WeightParts): number {
  return tensors.reduce((sum, tensor) => sum + tensor.bytes, 0)
}

/** The header metadata of a file of these weights. */
export function fileMetadata(weights: readonly [string, WeightParts][]): Map<string, string> {
  const entries = weights.flatMap(([name, { entry }]): [string, string][] =>
    entry === undefined ? [] : [[name, entry]],
  )
  return new Map([['format', 'pt'], ...entries])
}

/** Bytes of all weight files, headers included. */
export function weightFileBytes(weights: ReadonlyMap<string, WeightParts>, limit = defaultShardBytes): number {
  return shardsOf(weights, limit).reduce(
    (sum, shard) =>
      sum +
      safetensorsBytes(
        shard.flatMap(([, { tensors }]) => tensors),
        fileMetadata(shard),
      ),
    0,
  )
}
