/**
 * The Llama-family graph (llama, mistral, qwen2, qwen3): embedding, transformer blocks, final norm and head over native
 * operations, in float32. Synchronous once loaded, meant for a worker thread; see load-model.ts for the public side.
 */
import type { ModelConfig } from '../checkpoint/model-config.js'
import type { ModelSource } from '../checkpoint/model-source.js'
import { PyramidionError } from '../errors.js'
import { type Activations, storedActivations } from '../linear/activations.js'
import type { Layout } from '../linear/layout.js'
import { type JobControl, type KeyValueFormat, type NativeBlocks, native } from '../native.js'
import type { Progress } from '../worker/job.js'
import { Block } from './block.js'
import { EmbeddingAndHead } from './embedding-and-head.js'
import { type HeadForm, headWeights } from './head-form.js'
import { DEFAULT_KEY_VALUE_FORMAT, KeyValueCache, keyValueBytes } from './key-value-cache.js'
import type { Placer } from './model-placement.js'
import { RotaryEmbedding } from './rotary-embedding.js'
import { checkTensors } from './tensor-requirements.js'

/** Tokens that go through the blocks together: enough for the matrix products, and a bound on buffers. */
const PASS_TOKENS = 512

/** One pass of a longer run: hidden states (tokens x hidden) of the tokens from `start` on, valid until the next. */
export interface Pass {
  start: number
  tokens: number
  hidden: Float32Array
}

export interface LoadOptions {
  /** What the inputs of the blocks' linear layers are rounded to. Default: what the model's folder asks for, else `float`. */
  activations?: Activations
  /** The form that the blocks' PVQ codes have in memory. Default `auto`. */
  layout?: Layout
  /** The form that the head has in memory. Default `auto`. */
  head?: HeadForm
  /** What keys and values of the texts it reads are rounded to. Default `f16`. */
  kvCache?: KeyValueFormat
  /** Where each layer computes. Default: on the processor. */
  place?: Placer
  signal?: AbortSignal
  onProgress?: (progress: Progress) => void
}

export class Llama {
  readonly config: ModelConfig
  readonly activations: Activations
  readonly kvCache: KeyValueFormat
  readonly #ends: EmbeddingAndHead
  readonly #blocks: Block[]
  readonly #together: NativeBlocks
  readonly #rotary: RotaryEmbedding
  #hidden: Float32Array = new Float32Array()

  private constructor(
    ends: EmbeddingAndHead,
    blocks: Block[],
    { activations, kvCache }: { activations: Activations; kvCache: KeyValueFormat },
  ) {
    this.config = ends.config
    this.activations = activations
    this.kvCache = kvCache
    this.#ends = ends
    this.#blocks = blocks
    this.#together = Block.together(blocks)
    this.#rotary = new RotaryEmbedding(this.config)
  }

  /**
   * Loads every weight in its stored form. Throws MISSING_TENSOR, INVALID_SHAPE or UNSUPPORTED_FORMAT before anything
   * large is read; NOT_FINITE for a broken norm or bias; ABORTED.
   */
  static async load(source: ModelSource, { signal, onProgress, ...options }: LoadOptions = {}): Promise<Llama> {
    checkTensors(source)
    const activations = options.activations ?? storedActivations(source.quantizationConfig, source.path)
    const total = source.config.layers + 1
    const ends = await EmbeddingAndHead.load(source, signal, options.place, stored =>
      headWeights(stored, options.head ?? 'auto', activations),
    )
    onProgress?.({ done: 1, total, label: 'loading' })
    const blocks: Block[] = []
    for (let layer = 0; layer < source.config.layers; layer++) {
      blocks.push(await Block.load(source, layer, signal, activations, options.layout, options.place))
      onProgress?.({ done: layer + 2, total, label: 'loading' })
    }
    return new Llama(ends, blocks, { activations, kvCache: options.kvCache ?? DEFAULT_KEY_VALUE_FORMAT })
  }

  /** Bytes the weights occupy in memory. */
  get bytes(): number {
    return this.#blocks.reduce((sum, block) => sum + block.bytes, this.#ends.bytes)
  }

  /** Bytes that each position of a text takes in a cache. */
  get cacheBytesPerToken(): number {
    return keyValueBytes(this.config, this.kvCache)
  }

  newCache(): KeyValueCache {
    return new KeyValueCache(this.config, this.kvCache)
  }

  /**
   * Runs `ids` behind the positions that `cache` holds, a few hundred at a time, and appends them to it. Throws ABORTED between blocks
   * when `control` asks to stop, INVALID_ARGUMENT for an id outside the vocabulary and beyond the context.
   */
  *run(ids: Int32Array, cache: KeyValueCache, control?: JobControl): Generator<Pass, void, undefined> {
    this.#check(ids, cache)
    for (let start = 0; start < ids.length; start += PASS_TOKENS) {
      const some = ids.subarray(start, start + PASS_TOKENS)
      const length = some.length * this.config.hiddenSize
      if (this.#hidden.length < length) this.#hidden = new Float32Array(length)
      const hidden = this.#ends.embed(some, this.#hidden.subarray(0, length))
      cache.reserve(some.length)
      const { cosine, sine } = this.#rotary.tables(cache.length, some.length)
      const { length: past, native: held } = cache
      native.forwardBlocks(this.#together, hidden, some.length, past, held, cosine, sine, control)
      cache.advance(some.length)
      yield { start, tokens: some.length, hidden }
    }
  }

  /** Like {@link run}, for the logits behind the last token only (into `logits` where given). */
  next(ids: Int32Array, cache: KeyValueCache, control?: JobControl, logits?: Float32Array): Float32Array {
    const { hiddenSize } = this.config
    let last: Float32Array = this.#hidden
    for (const { tokens, hidden } of this.run(ids, cache, control)) last = hidden.subarray((tokens - 1) * hiddenSize)
    return this.head(last, 1, logits)
  }

  /** Logits (tokens x vocabulary) of hidden states (tokens x hidden). */
  head(hidden: Float32Array, tokens: number, logits?: Float32Array): Float32Array {
    return this.#ends.head(hidden, tokens, logits)
  }

  #check(ids: Int32Array, cache: KeyValueCache): void {
    const { vocabularySize, maximumPositions } = this.config
    if (ids.length === 0) throw new PyramidionError('EMPTY', 'ids must hold at least one token')
    const wrong = ids.findIndex(id => id < 0 || id >= vocabularySize)
    if (wrong >= 0) {
      throw new PyramidionError(
        'INVALID_ARGUMENT',
        `ids must be from 0 to ${vocabularySize - 1}, got ${ids[wrong]} at position ${wrong}`,
      )
    }
    if (cache.length + ids.length > maximumPositions) {
      throw new PyramidionError(
        'INVALID_ARGUMENT',
        `the text must fit the model's context of ${maximumPositions} tokens, got ${cache.length + ids.length}`,
      )
    }
  }
}
