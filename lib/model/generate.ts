/** The generation loop: prompt through the model, then sample, decode, check for the end, one token at a time. */
import { setImmediate } from 'node:timers/promises'
import type { Tokenizer } from '../checkpoint/tokenizer.js'
import type { JobContext } from '../worker/job.js'
import type { FinishReason, GenerationOptions, GenerationSummary } from './generation-options.js'
import type { KeyValueCache } from './key-value-cache.js'
import type { Llama } from './llama.js'
import { Sampler } from './sampler.js'
import { StopSequences } from './stop-sequences.js'

export interface GenerationParts {
  model: Llama
  tokenizer: Tokenizer
  /** Empty; the caller may keep it for its buffers. */
  cache: KeyValueCache
}

/** Continues `prompt`; the text is emitted as it becomes certain. */
export async function generate(
  { model, tokenizer, cache }: GenerationParts,
  prompt: Int32Array,
  options: GenerationOptions & { stop: string[] },
  { emit, control, throwIfAborted }: Pick<JobContext, 'emit' | 'control' | 'throwIfAborted'>,
): Promise<GenerationSummary> {
  const sampler = new Sampler(options)
  // The decoder has read the prompt: what it says of a token depends on the ones before.
  const decoder = tokenizer.streamDecoder({ skipSpecial: true })
  for (const id of prompt) if (id < tokenizer.vocabularySize) decoder.push(id)
  const stops = new StopSequences(options.stop)
  const ends = new Set([...model.config.eosTokenIds, ...tokenizer.eosTokenIds])
  const seen = new Set(prompt.filter(id => id < tokenizer.vocabularySize))
  const send = (text: string) => {
    if (text !== '') emit(text)
  }

  const logits = model.next(prompt, cache, control)
  // Ids that only pad the model's vocabulary stand for no text.
  const candidates = logits.subarray(0, tokenizer.vocabularySize)
  const room = model.config.maximumPositions - prompt.length + 1
  const limit = Math.min(options.maxTokens ?? room, room)
  let finishReason: FinishReason = 'length'
  let generatedTokens = 0
  while (generatedTokens < limit) {
    // Lets messages to this thread through: cancellation, and other calls.
    await setImmediate()
    throwIfAborted()
    const id = sampler.sample(candidates, seen)
    if (ends.has(id)) {
      finishReason = 'stop'
      break
    }
    generatedTokens++
    seen.add(id)
    send(stops.push(decoder.push(id)))
    if (stops.stopped) {
      finishReason = 'stop'
      break
    }
    if (generatedTokens < limit) model.next(Int32Array.of(id), cache, control, logits)
  }
  if (!stops.stopped) {
    send(stops.push(decoder.end()))
    send(stops.end())
  }
  return { finishReason, promptTokens: prompt.length, generatedTokens }
}
