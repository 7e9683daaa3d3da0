/** The expected losses (expected-loss.ts) of all linear layers of a model. */
import type { ModelSource } from '../checkpoint/model-source.js'
import { readWeights } from '../checkpoint/read-weights.js'
import type { TensorRequirement } from '../model/tensor-requirements.js'
import type { DenseWeights } from '../native.js'
import { lossCoefficient } from './expected-loss.js'
import type { Sensitivity } from './sensitivity.js'

export interface LossCoefficientOptions {
  rotationSeed: number | null
  /** Called after each layer. */
  onLayer: () => void
  signal?: AbortSignal
}

/** By the names of weights: the KL divergence, in nats a token, that rounding each is expected to cost at a relative error of 1. */
export async function lossCoefficients(
  source: ModelSource,
  tensors: readonly TensorRequirement[],
  sensitivity: Sensitivity,
  { rotationSeed, onLayer, signal }: LossCoefficientOptions,
): Promise<Map<string, number>> {
  const coefficients = new Map<string, number>()
  for (const { name, role } of tensors) {
    if (role !== 'linear') continue
    const weight = (await readWeights(source, name, signal)).weights as DenseWeights
    const moments = await sensitivity.ofWeight(name)
    coefficients.set(name, await lossCoefficient(weight, moments, { rotationSeed, coupled: true }))
    onLayer()
  }
  return coefficients
}
