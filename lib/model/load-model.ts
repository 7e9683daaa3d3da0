/**
 * A model to generate with: `loadModel` starts a worker thread that owns it, and the Model object is its remote control.
 * Nothing here blocks the event loop. Calls that compute take turns; those of the tokenizer slip in between tokens.
 */
import type { ModelConfig } from '../checkpoint/model-config.js'
import type { ChatMessage, DecodeOptions, EncodeOptions } from '../checkpoint/tokenizer.js'
import { warn } from '../device.js'
import { PyramidionError } from '../errors.js'
import { type Activations, checkActivations } from '../linear/activations.js'
import { checkLayout, type Layout } from '../linear/layout.js'
import { choosePlace, type DeviceOptions } from '../linear/placement.js'
import type { KeyValueFormat } from '../native.js'
import { TurnQueue } from '../worker/turn-queue.js'
import { type CallOptions, WorkerHost } from '../worker/worker-host.js'
import { checkedOptions, type GenerationOptions, type GenerationSummary } from './generation-options.js'
import { checkHeadForm, type HeadForm } from './head-form.js'
import { checkKeyValueFormat } from './key-value-cache.js'
import type { GeneratePayload, LoadPayload, ModelDescription } from './model-service.js'
import { checkedIds, checkedMessages } from './prompt-arguments.js'

const service = new URL('./model-service.js', import.meta.url)

export interface LoadModelOptions extends CallOptions, DeviceOptions {
  /** Threads to compute with, 1 to 1024, for all models of the process. Default: every core it may use. */
  threads?: number
  /**
   * What the inputs of the linear layers (projections of attention and MLP) are rounded to. Default: what the model was
   * quantized for, else `int8` for a quantized model and `float` for any other.
   */
  activations?: Activations
  /** The form that the PVQ codes of those layers have in memory. Default `auto`. */
  layout?: Layout
  /** The form that the head, hidden states to logits, has in memory. Default `auto`: int8 with int8 activations. */
  head?: HeadForm
  /**
   * What the keys and values of the texts it reads are rounded to, and read as for every token: `f32`, `f16` or `int8`. Default `f16`.
   */
  kvCache?: KeyValueFormat
}

/**
 * Loads a quantized folder, a Hugging Face folder or a GGUF file into a worker thread. Weights stay in their stored form.
 * Throws FILE_NOT_FOUND, INVALID_FILE, UNSUPPORTED_FORMAT, UNSUPPORTED_ARCHITECTURE, MISSING_TENSOR, INVALID_SHAPE,
 * NOT_FINITE or ABORTED; with a device DEVICE_UNAVAILABLE, DEVICE_ERROR or OUT_OF_MEMORY, and UNSUPPORTED_FORMAT for `cuda` where
 * no layer has a kernel. On a GPU compute the PVQ layers that have one, all else on the processor. A model that is idle does not keep the process alive; dispose() frees it at once.
 */
export async function loadModel(path: string, options: LoadModelOptions = {}): Promise<Model> {
  const { threads, activations, layout, head, kvCache, device = 'cpu', onWarning = warn, signal, onProgress } = options
  if (typeof path !== 'string' || path === '') {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `path must be the name of a folder or file, got ${JSON.stringify(path)}`,
    )
  }
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 1024)) {
    throw new PyramidionError('INVALID_ARGUMENT', `threads must be a whole number from 1 to 1024, got ${threads}`)
  }
  if (activations !== undefined) checkActivations(activations)
  if (layout !== undefined) checkLayout(layout)
  if (head !== undefined) checkHeadForm(head)
  if (kvCache !== undefined) checkKeyValueFormat(kvCache)
  const chosen = await choosePlace({ device, onWarning })
  const host = new WorkerHost()
  try {
    const payload: LoadPayload = {
      path,
      threads,
      activations,
      layout,
      head,
      kvCache,
      device: chosen.device,
      deviceMemory: chosen.memoryBytes,
      required: device === 'cuda',
    }
    const description = await host.call<ModelDescription>(service, 'load', payload, { signal, onProgress })
    if (description.deviceFallback !== undefined) {
      onWarning(`the processor computes a part of the model, ${description.deviceFallback}`)
    }
    return new Model(host, { ...description, deviceFallback: chosen.fallback ?? description.deviceFallback })
  } catch (error) {
    await host.dispose('the model')
    throw error
  }
}

/** A loaded model. Any number of calls may be pending: they are served one after another. */
export class Model implements AsyncDisposable {
  readonly #host: WorkerHost
  readonly #turns = new TurnQueue()
  readonly #description: ModelDescription
  readonly tokenizer: ModelTokenizer

  /** @internal Made by {@link loadModel}. */
  constructor(host: WorkerHost, description: ModelDescription) {
    this.#host = host
    this.#description = description
    this.tokenizer = new ModelTokenizer(host, description.tokenizer)
  }

  /** Where it was loaded from. */
  get path(): string {
    return this.#description.path
  }

  get kind(): ModelDescription['kind'] {
    return this.#description.kind
  }

  get config(): ModelConfig {
    return this.#description.config
  }

  /** What the inputs of its linear layers are rounded to. */
  get activations(): Activations {
    return this.#description.activations
  }

  /** Where its layers compute: `cuda` when some do. */
  get device(): 'cpu' | 'cuda' {
    return this.#description.device
  }

  /** Layers that compute on the GPU. */
  get deviceLayers(): number {
    return this.#description.deviceLayers
  }

  /** What computes on the processor though a GPU was asked for, and why. */
  get deviceFallback(): string | undefined {
    return this.#description.deviceFallback
  }

  /** Bytes the weights occupy in memory of the process. */
  get weightBytes(): number {
    return this.#description.weightBytes
  }

  /** What the keys and values of texts are rounded to. */
  get kvCache(): KeyValueFormat {
    return this.#description.kvCache
  }

  /** Bytes of keys and values that each token of a text takes beside the weights. */
  get cacheBytesPerToken(): number {
    return this.#description.cacheBytesPerToken
  }

  /**
   * Continues `prompt`, a text or token ids, and yields the text as it comes, never half a character; returns a summary.
   * Leaving the loop cancels. Throws INVALID_ARGUMENT, EMPTY for no token at all, ABORTED, DISPOSED.
   */
  generate(
    prompt: string | ArrayLike<number>,
    options: GenerationOptions = {},
  ): AsyncGenerator<string, GenerationSummary, undefined> {
    const checked = typeof prompt === 'string' ? prompt : checkedIds('prompt', prompt)
    return this.#stream({ prompt: checked, options: checkedOptions(options) }, options.signal)
  }

  /**
   * Answers the last of `messages` through the model's chat template; otherwise like {@link generate}. Throws
   * UNSUPPORTED_FORMAT when the model has no template.
   */
  chat(messages: ChatMessage[], options: GenerationOptions = {}): AsyncGenerator<string, GenerationSummary, undefined> {
    if (this.tokenizer.chatTemplate === undefined) {
      throw new PyramidionError('UNSUPPORTED_FORMAT', `${this.path} has no chat template: use generate()`)
    }
    return this.#stream({ prompt: checkedMessages(messages), options: checkedOptions(options) }, options.signal)
  }

  /**
   * Logits behind each of `ids`, positions x config.vocabularySize; with `last` behind the last one alone. `ids` are taken
   * as they are, no beginning-of-text token is added. Throws INVALID_ARGUMENT, EMPTY, ABORTED, DISPOSED.
   */
  async logits(
    ids: ArrayLike<number>,
    { last = false, signal }: { last?: boolean; signal?: AbortSignal } = {},
  ): Promise<Float32Array> {
    return this.run<Float32Array>(service, 'logits', { ids: checkedIds('ids', ids), last }, { signal })
  }

  /** @internal Calls a job (worker/job.ts) in this model's thread when its turn comes. */
  async run<Result>(module: URL, name: string, payload: unknown, options: CallOptions = {}): Promise<Result> {
    const end = await this.#turns.take(options.signal)
    try {
      return await this.#host.call<Result>(module, name, payload, options)
    } finally {
      end()
    }
  }

  async *#stream(
    payload: GeneratePayload,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<string, GenerationSummary, undefined> {
    // The turn ends with the job, not with the reader, who may forget about the stream.
    const onSettled = await this.#turns.take(signal)
    return yield* this.#host.stream<string, GenerationSummary>(service, 'generate', payload, { signal, onSettled })
  }

  /** Cancels what is pending (it fails with DISPOSED), ends the thread and frees the memory. May be called again. */
  async dispose(): Promise<void> {
    await this.#host.dispose('the model')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }
}

/** The tokenizer of a loaded model, in its thread. */
export class ModelTokenizer {
  readonly #host: WorkerHost
  /** Ids are 0 .. vocabularySize - 1. */
  readonly vocabularySize: number
  readonly bosTokenId?: number
  readonly eosTokenIds: readonly number[]
  /** The model expects the beginning-of-text token in front of every text. */
  readonly addsBos: boolean
  /** Jinja source; undefined when the model has none. */
  readonly chatTemplate?: string

  /** @internal */
  constructor(host: WorkerHost, description: ModelDescription['tokenizer']) {
    this.#host = host
    this.vocabularySize = description.vocabularySize
    this.bosTokenId = description.bosTokenId
    this.eosTokenIds = description.eosTokenIds
    this.addsBos = description.addsBos
    this.chatTemplate = description.chatTemplate
  }

  /** Text to ids; `special` puts the beginning-of-text token in front where the model wants one. */
  async encode(text: string, { special, parseSpecial }: EncodeOptions = {}): Promise<Int32Array> {
    if (typeof text !== 'string') {
      throw new PyramidionError('INVALID_ARGUMENT', `text must be a string, got ${typeof text}`)
    }
    return this.#host.call<Int32Array>(service, 'encode', { text, options: { special, parseSpecial } })
  }

  async decode(ids: ArrayLike<number>, { skipSpecial }: DecodeOptions = {}): Promise<string> {
    return this.#host.call<string>(service, 'decode', { ids: checkedIds('ids', ids), options: { skipSpecial } })
  }

  /** The prompt text of a conversation; `addGenerationPrompt` ends it where the answer begins. */
  async applyChatTemplate(
    messages: ChatMessage[],
    { addGenerationPrompt = false }: { addGenerationPrompt?: boolean } = {},
  ): Promise<string> {
    const payload = { messages: checkedMessages(messages), addGenerationPrompt }
    return this.#host.call<string>(service, 'applyChatTemplate', payload)
  }
}
