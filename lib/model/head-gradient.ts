/**
 * From the hidden states above the last block to the gradient of a loss there, through the final norm and the head. Logits
 * exist for a few tokens at a time only.
 */
import { native } from '../native.js'
import type { GradientHooks } from './block-gradient.js'
import type { EmbeddingAndHead } from './embedding-and-head.js'
import type { RandomSource } from './random-source.js'

/** Logits held at a time, as bytes, and the fewest tokens for which the head is decoded: its decoding costs as much as some tens. */
const LOGIT_BYTES = 64 << 20
const FEWEST_TOKENS = 8

/** The model to stay close to: its head, and its hidden states above the last block for the same window. */
export interface Reference {
  ends: EmbeddingAndHead
  hidden: Float32Array
}

export class HeadGradient {
  readonly #chunk: number
  readonly #logits: Float32Array
  #referenceLogits = new Float32Array()

  constructor(private readonly ends: EmbeddingAndHead) {
    const { vocabularySize } = ends.config
    this.#chunk = Math.max(FEWEST_TOKENS, Math.floor(LOGIT_BYTES / 4 / vocabularySize))
    this.#logits = new Float32Array(this.#chunk * vocabularySize)
  }

  /**
   * The loss is sum -log p(label) over the window, a label drawn from the model's own distribution at every position; its
   * expected squared gradient is the Fisher information. `gradient` (tokens x hidden) is overwritten. Returns the labels.
   */
  sampledLabels(
    hidden: Float32Array,
    tokens: number,
    random: RandomSource,
    gradient: Float32Array,
    hooks?: GradientHooks,
  ): Int32Array {
    const { vocabularySize } = this.ends.config
    const labels = new Int32Array(tokens)
    this.#chunks(hidden, tokens, gradient, hooks, (logits, first, count) => {
      const uniforms = Float64Array.from({ length: count }, () => random.next())
      labels.set(native.sampledLabelGradient(logits, count, vocabularySize, uniforms), first)
    })
    return labels
  }

  /**
   * The loss is sum KL(reference || model) over the window. `gradient` (tokens x hidden) is overwritten. Returns the KL of
   * every position, in nats.
   */
  distillation(
    hidden: Float32Array,
    tokens: number,
    reference: Reference,
    gradient: Float32Array,
    hooks?: GradientHooks,
  ): Float64Array {
    const { vocabularySize, hiddenSize } = this.ends.config
    if (this.#referenceLogits.length === 0) this.#referenceLogits = new Float32Array(this.#logits.length)
    const divergence = new Float64Array(tokens)
    this.#chunks(hidden, tokens, gradient, hooks, (logits, first, count) => {
      const target = this.#referenceLogits.subarray(0, count * vocabularySize)
      reference.ends.head(reference.hidden.subarray(first * hiddenSize, (first + count) * hiddenSize), count, target)
      divergence.set(native.distillationGradient(logits, target, count, vocabularySize), first)
    })
    return divergence
  }

  /** `differentiate` turns logits of `count` tokens from `first` on into the gradient at them. */
  #chunks(
    hidden: Float32Array,
    tokens: number,
    gradient: Float32Array,
    hooks: GradientHooks | undefined,
    differentiate: (logits: Float32Array, first: number, count: number) => void,
  ): void {
    const { vocabularySize, hiddenSize, rmsNormEpsilon } = this.ends.config
    const { norm, output } = this.ends
    for (let first = 0; first < tokens; first += this.#chunk) {
      const count = Math.min(this.#chunk, tokens - first)
      const x = hidden.subarray(first * hiddenSize, (first + count) * hiddenSize)
      const part = gradient.subarray(first * hiddenSize, (first + count) * hiddenSize)
      const logits = this.#logits.subarray(0, count * vocabularySize)
      this.ends.head(x, count, logits)
      differentiate(logits, first, count)
      output.linear.backward(logits, count, part, false, false)
      hooks?.norm?.('model.norm', x, part, count)
      native.rmsNormBackward(x, norm, rmsNormEpsilon, count, part, part)
    }
  }
}
