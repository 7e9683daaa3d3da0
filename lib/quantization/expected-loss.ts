/**
 * What rounding a linear layer is expected to cost the model, before any of it is done.
 *
 * Let g be the gradient, at the layer's outputs for one token, of -log p(label) with labels drawn from the model itself. An
 * error dW of the weights then raises the KL divergence from the model by about 1/2 E[(g^T dW x)^2] a token (its second-order
 * term; E[g g^T] is the Fisher information). With the direction of g independent of x, but not its length,
 *
 *   1/2 E[(g^T dW x)^2] = 1/2 tr(G dW F dW^T) / tr(G),    F = E[|g|^2 x x^T],    G = E[g g^T]:
 *
 * for G proportional to the identity, 1/2 tr(dW F dW^T) / out. Rounding with error feedback turns errors of variance v of the
 * rotated weights, v = (mean square of the row) * (relative error of the code), into errors whose cost under F is v times the sum
 * of the conditional variances of F (native/core/calibrated/conditional_variances.h); rows that are rounded together weigh as
 * much as their conditional variances under G. So the loss is
 *
 *   coefficient * relative error,    coefficient = 1/2 (sum_i weight_i meanSquare_i) (sum_j conditionalVariance_j(F)).
 */
import { OUTPUT_SHARE } from '../linear/output-weights.js'
import { rotateMoments } from '../linear/rotated-moments.js'
import { type DenseWeights, native } from '../native.js'

/** As guided rounding has it, a share of the mean diagonal. */
const RIDGE = 0.01
const CHUNK_WEIGHTS = 1 << 20

export interface LayerSensitivity {
  /** F = E[|g|^2 x x^T], in x in, of the inputs as the model has them; not changed. */
  inputHessian: Float64Array
  /** G = E[g g^T], out x out. Without it all outputs count alike. */
  outputHessian?: Float64Array
}

export interface LossOptions {
  /** Of the rounding; null for none. */
  rotationSeed: number | null
  /** Whether rows are rounded together, under G. Default false. */
  coupled?: boolean
}

/**
 * The KL divergence, in nats a token, that guided rounding of `weight` would cost at a relative error of 1; at the relative
 * error e of a code, e times as much. Throws INVALID_ARGUMENT and NOT_FINITE for matrices that are no second moments.
 */
export async function lossCoefficient(
  weight: DenseWeights,
  { inputHessian, outputHessian }: LayerSensitivity,
  { rotationSeed, coupled = false }: LossOptions,
): Promise<number> {
  const { rows, columns } = weight
  const moments = await rotateMoments(inputHessian.slice(), columns, rotationSeed)
  const variances = await native.conditionalVariancesAsync(moments, columns, RIDGE)
  const squares = await meanSquares(weight)
  const weights = await rowWeights(rows, outputHessian, coupled)
  const scale = squares.reduce((sum, square, row) => sum + square * weights[row], 0)
  return (scale * variances.reduce((sum, variance) => sum + variance, 0)) / 2
}

/** What each row counts for: 1 in all, or less where rows are rounded together. */
async function rowWeights(rows: number, outputHessian: Float64Array | undefined, coupled: boolean) {
  const even = new Float64Array(rows).fill(1 / rows)
  if (outputHessian === undefined) return even
  const diagonal = even.map((_, row) => outputHessian[row * (rows + 1)])
  const trace = diagonal.reduce((sum, value) => sum + value, 0)
  if (!(trace > 0)) return even
  if (!coupled) return diagonal.map(value => value / trace)
  // Under the mix of G and the identity that rows are rounded with.
  const ridge = (1 - OUTPUT_SHARE) / OUTPUT_SHARE
  const variances = await native.conditionalVariancesAsync(outputHessian, rows, ridge)
  return variances.map(variance => (OUTPUT_SHARE * variance) / trace)
}

async function meanSquares(weight: DenseWeights): Promise<Float64Array> {
  const { rows, columns } = weight
  const squares = new Float64Array(rows)
  const chunkRows = Math.max(1, Math.floor(CHUNK_WEIGHTS / columns))
  for (let first = 0; first < rows; first += chunkRows) {
    const count = Math.min(chunkRows, rows - first)
    const values = new Float32Array(count * columns)
    await native.decodeRowsAsync(weight, first, count, values)
    for (let i = 0; i < values.length; i++)
      squares[first + Math.floor(i / columns)] += (values[i] * values[i]) / columns
  }
  return squares
}
