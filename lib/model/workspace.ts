/** Buffers that the blocks of a model share and reuse from call to call, and its rotary tables. */
import type { ModelConfig } from '../checkpoint/model-config.js'
import { RotaryEmbedding } from './rotary-embedding.js'

/** What the steps of one block need besides its input, for `tokens` tokens. */
export interface BlockBuffers {
  /** Normed input of a projection, then the block's change to the residual stream: tokens x hidden. */
  normed: Float32Array
  /** tokens x heads x headDimension, both. */
  query: Float32Array
  attended: Float32Array
  /** tokens x keyValueHeads x headDimension, both. */
  key: Float32Array
  value: Float32Array
  /** tokens x intermediate, both. */
  gate: Float32Array
  up: Float32Array
}

export class Workspace {
  readonly rotary: RotaryEmbedding
  readonly #config: ModelConfig
  #capacity = 0
  #full!: BlockBuffers
  #cut?: { tokens: number; buffers: BlockBuffers }

  constructor(config: ModelConfig) {
    this.#config = config
    this.rotary = new RotaryEmbedding(config)
  }

  /** The buffers, cut to `tokens`; they hold whatever the last user left. */
  buffers(tokens: number): BlockBuffers {
    if (this.#cut?.tokens !== tokens) this.#cut = { tokens, buffers: this.#cutTo(tokens) }
    return this.#cut.buffers
  }

  #cutTo(tokens: number): BlockBuffers {
    const { hiddenSize, intermediateSize, heads, keyValueHeads, headDimension } = this.#config
    const width = heads * headDimension
    const keyWidth = keyValueHeads * headDimension
    if (tokens > this.#capacity) {
      this.#capacity = tokens
      this.#full = {
        normed: new Float32Array(tokens * hiddenSize),
        query: new Float32Array(tokens * width),
        attended: new Float32Array(tokens * width),
        key: new Float32Array(tokens * keyWidth),
        value: new Float32Array(tokens * keyWidth),
        gate: new Float32Array(tokens * intermediateSize),
        up: new Float32Array(tokens * intermediateSize),
      }
    }
    const { normed, query, attended, key, value, gate, up } = this.#full
    return {
      normed: normed.subarray(0, tokens * hiddenSize),
      query: query.subarray(0, tokens * width),
      attended: attended.subarray(0, tokens * width),
      key: key.subarray(0, tokens * keyWidth),
      value: value.subarray(0, tokens * keyWidth),
      gate: gate.subarray(0, tokens * intermediateSize),
      up: up.subarray(0, tokens * intermediateSize),
    }
  }
}
