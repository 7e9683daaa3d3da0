/** The options of generate and chat, and their check. */
import { PyramidionError } from '../errors.js'
import type { SamplingOptions } from './sampler.js'

export interface GenerationOptions extends SamplingOptions {
  /** At least 1. Default: as many as the model's context has room for. */
  maxTokens?: number
  /** Generation ends where one of these begins; it is not part of the text. */
  stop?: string | string[]
  /** Stops at the next token with ABORTED. */
  signal?: AbortSignal
}

/** Why a generation ended: an end token or a stop string; maxTokens or the context were used up. */
export type FinishReason = 'stop' | 'length'

/** What the stream of generate and chat returns when it is done. */
export interface GenerationSummary {
  finishReason: FinishReason
  promptTokens: number
  /** The end token not counted. */
  generatedTokens: number
}

const ranges: Record<string, { least: number; most: number; whole?: boolean; above?: boolean }> = {
  maxTokens: { least: 1, most: Number.MAX_SAFE_INTEGER, whole: true },
  temperature: { least: 0, most: 100 },
  topK: { least: 1, most: Number.MAX_SAFE_INTEGER, whole: true },
  topP: { least: 0, most: 1, above: true },
  minP: { least: 0, most: 1 },
  repetitionPenalty: { least: 0.1, most: 10 },
  seed: { least: 0, most: 2 ** 32 - 1, whole: true },
}

/** Throws INVALID_ARGUMENT for an option outside its range; returns them as plain data, without the signal. */
export function checkedOptions(options: GenerationOptions): GenerationOptions & { stop: string[] } {
  if (options === null || typeof options !== 'object') {
    throw new PyramidionError('INVALID_ARGUMENT', `options must be an object, got ${options}`)
  }
  const checked: Record<string, number> = {}
  for (const [name, { least, most, whole, above }] of Object.entries(ranges)) {
    const value = options[name as keyof SamplingOptions]
    if (value === undefined) continue
    const inside = typeof value === 'number' && value >= least && value <= most && !(above && value === least)
    if (!inside || (whole && !Number.isInteger(value))) {
      const kind = whole ? 'a whole number' : 'a number'
      const range =
        most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least}${above ? ' (excluded)' : ''} to ${most}`
      throw new PyramidionError('INVALID_ARGUMENT', `${name} must be ${kind} ${range}, got ${value}`)
    }
    checked[name] = value
  }
  const stop = typeof options.stop === 'string' ? [options.stop] : (options.stop ?? [])
  if (!Array.isArray(stop) || stop.some(text => typeof text !== 'string' || text === '')) {
    throw new PyramidionError('INVALID_ARGUMENT', 'stop must be a text or an array of texts, none of them empty')
  }
  return { ...checked, stop }
}
