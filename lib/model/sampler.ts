/**
 * Picks the next token from logits: greedy, or at random among the likeliest. The order is that of transformers:
 * repetition penalty, temperature, then top-k, top-p (nucleus, arXiv 1904.09751) and min-p (arXiv 2407.01082).
 */
import { randomInt } from 'node:crypto'
import { native } from '../native.js'
import { RandomSource } from './random-source.js'
import { Ranking } from './ranking.js'

export interface SamplingOptions {
  /** Divides the logits; 0, the default, always takes the likeliest token. From 0 to 100. */
  temperature?: number
  /** Keep the k likeliest tokens. At least 1. */
  topK?: number
  /** Keep the fewest likeliest tokens whose probabilities sum to at least this. Above 0, at most 1. */
  topP?: number
  /** Keep tokens at least this probable relative to the likeliest. From 0 to 1. */
  minP?: number
  /** Divides positive logits of tokens seen before and multiplies negative ones (CTRL, arXiv 1909.05858). From 0.1 to 10. */
  repetitionPenalty?: number
  /** Whole number from 0 to 2^32 - 1: equal seeds give equal texts. Default: a new one each time. */
  seed?: number
}

export class Sampler {
  readonly #options: SamplingOptions
  readonly #random: RandomSource
  #weights = new Float64Array()

  constructor(options: SamplingOptions = {}) {
    this.#options = options
    this.#random = new RandomSource(options.seed ?? randomInt(2 ** 32))
  }

  /** The next token. `seen`: tokens the repetition penalty speaks of. Changes `logits`; among equals the lowest id is first. */
  sample(logits: Float32Array, seen: ReadonlySet<number>): number {
    const { temperature = 0, repetitionPenalty = 1, topK, topP = 1, minP = 0 } = this.#options
    if (repetitionPenalty !== 1) {
      for (const id of seen) logits[id] *= logits[id] > 0 ? 1 / repetitionPenalty : repetitionPenalty
    }
    const best = native.largest(logits)
    if (temperature === 0) return best
    const total = this.#weigh(logits, logits[best], temperature)
    if (topK === undefined && topP === 1 && minP === 0) return this.#draw(total)
    return this.#drawLikeliest(total, Math.min(topK ?? logits.length, logits.length), topP, minP)
  }

  /** exp((logit - offset) / temperature) of every token; returns the sum. */
  #weigh(logits: Float32Array, offset: number, temperature: number): number {
    if (this.#weights.length !== logits.length) this.#weights = new Float64Array(logits.length)
    let total = 0
    for (let id = 0; id < logits.length; id++) {
      const weight = Math.exp((logits[id] - offset) / temperature)
      this.#weights[id] = weight
      total += weight
    }
    return total
  }

  /** Among all tokens. */
  #draw(total: number): number {
    let left = this.#random.next() * total
    let last = 0
    for (let id = 0; id < this.#weights.length; id++) {
      if (this.#weights[id] === 0) continue
      last = id
      left -= this.#weights[id]
      if (left < 0) break
    }
    return last
  }

  /** Among the likeliest, as many as k, p and minP (relative to the likeliest, whose weight is 1) leave. */
  #drawLikeliest(total: number, topK: number, topP: number, minP: number): number {
    const ranking = new Ranking(this.#weights)
    const weightAt = (rank: number) => this.#weights[ranking.at(rank)]
    let sum = total
    if (topK < this.#weights.length) {
      sum = 0
      for (let rank = 0; rank < topK; rank++) sum += weightAt(rank)
    }
    let kept = weightAt(0)
    let count = 1
    while (count < topK && kept < topP * sum && weightAt(count) >= minP && weightAt(count) > 0)
      kept += weightAt(count++)
    let left = this.#random.next() * kept
    let rank = 0
    while (rank < count - 1) {
      left -= weightAt(rank)
      if (left < 0) break
      rank++
    }
    return ranking.at(rank)
  }
}
