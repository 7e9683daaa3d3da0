/**
 * What guided rounding weighs the errors of a layer's inputs by: half their second moments H = E[x x^T], half the same weighted by
 * how much the loss depends on each token, F = E[g^2 x x^T] (the Fisher information), each by its mean diagonal. F alone knows the
 * loss but is noisier, since few tokens carry most of it; the mix measures better than either.
 */
const FISHER_SHARE = 0.5

/** Both width x width; a new matrix. */
export function roundingMetric(hessian: Float64Array, fisher: Float64Array): Float64Array {
  const width = Math.sqrt(hessian.length)
  const [own, weighted] = [meanDiagonal(hessian, width), meanDiagonal(fisher, width)]
  // Without gradients, or without inputs, there is nothing to mix.
  if (!(own > 0) || !(weighted > 0)) return hessian.slice()
  const [ownFactor, weightedFactor] = [(1 - FISHER_SHARE) / own, FISHER_SHARE / weighted]
  const mix = new Float64Array(hessian.length)
  for (let i = 0; i < mix.length; i++) mix[i] = ownFactor * hessian[i] + weightedFactor * fisher[i]
  return mix
}

function meanDiagonal(matrix: Float64Array, width: number): number {
  let sum = 0
  for (let i = 0; i < width; i++) sum += matrix[i * (width + 1)]
  return sum / width
}
