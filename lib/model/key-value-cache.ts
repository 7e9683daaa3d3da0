/** The keys and values of the positions a model has seen, in memory of the addon's own that grows with the text. */
import { describe } from '../checkpoint/fields.js'
import type { ModelConfig } from '../checkpoint/model-config.js'
import { PyramidionError } from '../errors.js'
import { type KeyValueFormat, type NativeKeyValueCache, native } from '../native.js'

const valueBytes: Record<KeyValueFormat, number> = { f32: 4, f16: 2, int8: 1 }

/** What rounds them least where a model's predictions can tell. */
export const DEFAULT_KEY_VALUE_FORMAT: KeyValueFormat = 'f16'

/** Positions of the first buffers; they double from there. */
const FIRST_CAPACITY = 256

/** Throws INVALID_ARGUMENT unless `format` is one of {@link KeyValueFormat}. */
export function checkKeyValueFormat(format: KeyValueFormat): void {
  if (Object.hasOwn(valueBytes, format)) return
  throw new PyramidionError('INVALID_ARGUMENT', `kvCache must be f32, f16 or int8, got ${describe(format)}`)
}

/** Bytes of the keys and values of one position in all layers. */
export function keyValueBytes({ layers, keyValueHeads, headDimension }: ModelConfig, format: KeyValueFormat): number {
  const scale = format === 'int8' ? Float32Array.BYTES_PER_ELEMENT : 0
  return 2 * layers * keyValueHeads * (headDimension * valueBytes[format] + scale)
}

export class KeyValueCache {
  readonly native: NativeKeyValueCache
  readonly #limit: number
  #capacity = 0
  #length = 0

  constructor(config: ModelConfig, format: KeyValueFormat) {
    this.native = new native.KeyValueCache(format, config.layers, config.keyValueHeads, config.headDimension)
    this.#limit = config.maximumPositions
  }

  /** Positions held. */
  get length(): number {
    return this.#length
  }

  /** Bytes in memory, with the room for positions to come. */
  get bytes(): number {
    return this.native.bytes
  }

  /** Makes room for `tokens` more positions; nothing is forgotten. */
  reserve(tokens: number): void {
    const needed = this.#length + tokens
    if (needed <= this.#capacity) return
    const capacity = Math.max(needed, Math.min(Math.max(2 * this.#capacity, FIRST_CAPACITY), this.#limit))
    this.native.reserve(capacity)
    this.#capacity = capacity
  }

  /** The positions that every layer has filled now count. */
  advance(tokens: number): void {
    this.#length += tokens
  }

  /** Forgets everything, keeping the memory. */
  clear(): void {
    this.#length = 0
  }
}
