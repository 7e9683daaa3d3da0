/** The keys and values of the positions a model has seen, per layer, in buffers that grow with the text. */
import type { ModelConfig } from '../checkpoint/model-config.js'

/** One layer's: positions x keyValueHeads x headDimension. */
export interface LayerCache {
  keys: Float32Array
  values: Float32Array
}

/** Positions of the first buffers; they double from there. */
const FIRST_CAPACITY = 256

export class KeyValueCache {
  readonly layers: LayerCache[]
  readonly #width: number
  readonly #limit: number
  #capacity = 0
  #length = 0

  /** @param layers of the model, or 1 for running one block alone. */
  constructor(config: ModelConfig, layers = config.layers) {
    this.#width = config.keyValueHeads * config.headDimension
    this.#limit = config.maximumPositions
    this.layers = Array.from({ length: layers }, () => ({ keys: new Float32Array(), values: new Float32Array() }))
  }

  /** Positions held. */
  get length(): number {
    return this.#length
  }

  /** Makes room for `tokens` more positions; nothing is forgotten. */
  reserve(tokens: number): void {
    const needed = this.#length + tokens
    if (needed <= this.#capacity) return
    this.#capacity = Math.max(needed, Math.min(Math.max(2 * this.#capacity, FIRST_CAPACITY), this.#limit))
    for (const layer of this.layers) {
      layer.keys = this.#grown(layer.keys)
      layer.values = this.#grown(layer.values)
    }
  }

  /** The positions that every layer has filled now count. */
  advance(tokens: number): void {
    this.#length += tokens
  }

  /** Forgets everything, keeping the buffers. */
  clear(): void {
    this.#length = 0
  }

  #grown(old: Float32Array): Float32Array {
    const grown = new Float32Array(this.#capacity * this.#width)
    grown.set(old.subarray(0, this.#length * this.#width))
    return grown
  }
}
