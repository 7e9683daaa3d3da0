/**
 * The jobs of a loaded model, run in the worker thread that owns it; load-model.ts is their caller. The model is this
 * module's state, one a thread.
 */
import type { ModelConfig } from '../checkpoint/model-config.js'
import type { ModelSource } from '../checkpoint/model-source.js'
import { openModel } from '../checkpoint/open-model.js'
import type { ChatMessage, DecodeOptions, EncodeOptions, Tokenizer } from '../checkpoint/tokenizer.js'
import { PyramidionError } from '../errors.js'
import { type Activations, storedActivations } from '../linear/activations.js'
import type { Layout } from '../linear/layout.js'
import { type KeyValueFormat, native } from '../native.js'
import type { JobContext } from '../worker/job.js'
import { generate as generateText } from './generate.js'
import type { GenerationOptions, GenerationSummary } from './generation-options.js'
import type { HeadForm } from './head-form.js'
import type { KeyValueCache } from './key-value-cache.js'
import { Llama } from './llama.js'
import { type ModelPlace, ModelPlacement } from './model-placement.js'

export interface LoadedModel {
  path: string
  model: Llama
  tokenizer: Tokenizer
  /** For one generation after another. */
  cache: KeyValueCache
}

/** What the caller's thread knows of the model. */
export interface ModelDescription extends ModelPlace {
  path: string
  kind: 'huggingface' | 'gguf' | 'quantized'
  config: ModelConfig
  activations: Activations
  tokenizer: Pick<Tokenizer, 'vocabularySize' | 'bosTokenId' | 'eosTokenIds' | 'addsBos' | 'chatTemplate'>
  /** Bytes the weights occupy in memory. */
  weightBytes: number
  kvCache: KeyValueFormat
  cacheBytesPerToken: number
}

/** Of one answer: 4 GB. */
const MOST_LOGITS = 2 ** 30

let loaded: LoadedModel | undefined

/** The model of this thread. */
export function loadedModel(): LoadedModel {
  if (loaded === undefined) throw new PyramidionError('INTERNAL', 'no model was loaded in this thread')
  return loaded
}

export interface LoadPayload {
  path: string
  threads?: number
  activations?: Activations
  layout?: Layout
  head?: HeadForm
  kvCache?: KeyValueFormat
  device: 'cpu' | 'cuda'
  deviceMemory?: number
  /** Whether only a device will do. */
  required: boolean
}

export async function load(
  { path, threads, activations, layout, head, kvCache, device, deviceMemory, required }: LoadPayload,
  context: JobContext,
): Promise<ModelDescription> {
  if (threads !== undefined) native.setThreadCount(threads)
  const source = await openModel(path)
  try {
    const tokenizer = await source.tokenizer()
    const placement = ModelPlacement.of(source, { device, memoryBytes: deviceMemory }, required)
    const model = await Llama.load(source, {
      activations: activations ?? usualActivations(source),
      layout,
      head,
      kvCache,
      place: placement.place,
      signal: context.signal,
      onProgress: context.progress,
    })
    const place = placement.result()
    loaded = { path, model, tokenizer, cache: model.newCache() }
    const { vocabularySize, bosTokenId, eosTokenIds, addsBos, chatTemplate } = tokenizer
    return {
      path,
      kind: source.kind,
      config: source.config,
      activations: model.activations,
      tokenizer: { vocabularySize, bosTokenId, eosTokenIds, addsBos, chatTemplate },
      weightBytes: model.bytes,
      kvCache: model.kvCache,
      cacheBytesPerToken: model.cacheBytesPerToken,
      ...place,
    }
  } finally {
    await source.close()
  }
}

/** int8 makes a quantized model several times as fast and adds about a hundredth to the divergence that quantization made. */
function usualActivations({ kind, quantizationConfig, path }: ModelSource): Activations {
  return storedActivations(quantizationConfig, path, kind === 'quantized' ? 'int8' : 'float')
}

export interface GeneratePayload {
  /** A text, ids, or a conversation for the chat template. */
  prompt: string | Int32Array | ChatMessage[]
  options: GenerationOptions & { stop: string[] }
}

export function generate({ prompt, options }: GeneratePayload, context: JobContext): Promise<GenerationSummary> {
  const { model, tokenizer, cache } = loadedModel()
  const ids = promptIds(tokenizer, prompt)
  if (ids.length === 0) throw new PyramidionError('EMPTY', 'prompt must hold at least one token')
  cache.clear()
  return generateText({ model, tokenizer, cache }, ids, options, context)
}

function promptIds(tokenizer: Tokenizer, prompt: GeneratePayload['prompt']): Int32Array {
  if (prompt instanceof Int32Array) return prompt
  if (typeof prompt === 'string') return tokenizer.encode(prompt, { special: true })
  return tokenizer.encode(tokenizer.applyChatTemplate(prompt, { addGenerationPrompt: true }))
}

/** Logits behind each token of `ids`, or behind the last alone: positions x vocabulary. */
export function logits({ ids, last }: { ids: Int32Array; last: boolean }, context: JobContext): Float32Array {
  const { model, cache } = loadedModel()
  const { vocabularySize } = model.config
  cache.clear()
  if (last) return model.next(ids, cache, context.control)
  if (ids.length * vocabularySize > MOST_LOGITS) {
    throw new PyramidionError(
      'INVALID_ARGUMENT',
      `ids must be at most ${Math.floor(MOST_LOGITS / vocabularySize)} tokens for the logits of all, got ${ids.length}`,
    )
  }
  const all = new Float32Array(ids.length * vocabularySize)
  for (const { start, tokens, hidden } of model.run(ids, cache, context.control)) {
    model.head(hidden, tokens, all.subarray(start * vocabularySize, (start + tokens) * vocabularySize))
  }
  return all
}

export function encode({ text, options }: { text: string; options?: EncodeOptions }): Int32Array {
  return loadedModel().tokenizer.encode(text, options)
}

export function decode({ ids, options }: { ids: Int32Array; options?: DecodeOptions }): string {
  return loadedModel().tokenizer.decode(ids, options)
}

export function applyChatTemplate(payload: { messages: ChatMessage[]; addGenerationPrompt: boolean }): string {
  const { messages, addGenerationPrompt } = payload
  return loadedModel().tokenizer.applyChatTemplate(messages, { addGenerationPrompt })
}
