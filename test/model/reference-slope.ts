// Derivatives of a loss of the double-precision reference, by central differences.
import { referenceLogits, softmax } from './reference-llama.js'
import type { Tensors, TinyConfig } from './tiny-checkpoint.js'

/** Of the logits of a window. */
export type Loss = (logits: number[][]) => number

/** d/dt of the loss of the double-precision reference where tensor `name` moves by t times its direction. */
export function referenceSlope(
  config: TinyConfig,
  tensors: Tensors,
  directions: Tensors,
  name: string,
  ids: Int32Array,
  loss: Loss,
): number {
  const at = (t: number) => {
    const { shape, values } = tensors.get(name)!
    const direction = directions.get(name)!.values
    const moved = { shape, values: Float64Array.from(values, (value, i) => value + t * direction[i]) }
    // A tied head stays where it is: the slope is that of the embedding alone.
    const { tie_word_embeddings: tied } = config
    const head = tensors.get(tied ? 'model.embed_tokens.weight' : 'lm_head.weight')!
    const all: Tensors = new Map([...tensors, [name, moved], ['lm_head.weight', head]])
    return loss(referenceLogits({ ...config, tie_word_embeddings: false }, all, ids))
  }
  return (at(1e-5) - at(-1e-5)) / 2e-5
}

/** Sum of -log p(label). */
export const labelLoss =
  (labels: Int32Array): Loss =>
  logits =>
    logits.reduce((sum, row, t) => sum - Math.log(softmax(row)[labels[t]]), 0)

/** Sum of KL(reference || model) for the probabilities of a reference. */
export const divergenceFrom =
  (references: number[][]): Loss =>
  logits =>
    logits.reduce((sum, row, t) => {
      const probabilities = softmax(row)
      return sum + references[t].reduce((s, p, i) => s + p * Math.log(p / probabilities[i]), 0)
    }, 0)
