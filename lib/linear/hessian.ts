/**
 * What a layer sees: the second moments E[x x^T] of its inputs, and their magnitudes, gathered from calibration text.
 * Inputs are those of the layer as the model has it: a rotation is the quantizer's own affair, which turns its errors back
 * instead of turning the statistics.
 */
import { PyramidionError } from '../errors.js'
import { type NativeHessian, native } from '../native.js'
import { checkInteger, checkMatrix } from '../quantizers/matrix-values.js'

/** Width beyond which inFeatures^2 doubles would not fit one array. */
const MAXIMUM_WIDTH = 1 << 15

export class Hessian {
  private readonly statistics: NativeHessian
  #mean?: Float64Array

  /**
   * @param inFeatures width of the inputs, 1 to 32768; 8 bytes times its square are held.
   * @param options `onGpu`: in the memory of the first usable GPU, which sums up, until {@link mean} is first asked for.
   *   Throws DEVICE_UNAVAILABLE, DEVICE_ERROR, OUT_OF_MEMORY then, and DEVICE_ERROR later.
   */
  constructor(
    readonly inFeatures: number,
    { onGpu = false }: { onGpu?: boolean } = {},
  ) {
    checkInteger('inFeatures', inFeatures, 1, MAXIMUM_WIDTH)
    this.statistics = new native.Hessian(inFeatures, onGpu)
  }

  /** Inputs seen so far. */
  get tokens(): number {
    return this.statistics.tokens
  }

  /**
   * Adds the inputs `x` (tokens x inFeatures, row-major), one batch: `l2qer` takes the largest mean magnitude of any batch.
   * `weights`: one a token, 0 or more, for E[w x x^T]; all 1 by default. How tokens are spread over batches does not change a
   * bit of the mean. Throws INVALID_SHAPE, INVALID_ARGUMENT, EMPTY or NOT_FINITE.
   */
  add(x: Float32Array, tokens: number, weights?: Float32Array): void {
    this.check(x, tokens, weights)
    this.#mean = undefined
    this.statistics.add(x, tokens, weights)
  }

  /** The same on another thread; x and weights must not change until it settles. */
  async addAsync(x: Float32Array, tokens: number, weights?: Float32Array): Promise<void> {
    this.check(x, tokens, weights)
    await this.statistics.addAsync(x, tokens, weights)
    this.#mean = undefined
  }

  /**
   * E[w x x^T], inFeatures x inFeatures: the mean over tokens. The same array until more is added: not to be written to. Throws
   * EMPTY before the first {@link add}.
   */
  mean(): Float64Array {
    this.checkAny()
    this.#mean ??= this.statistics.mean()
    return this.#mean
  }

  /** For each input, the largest mean of |x| over a batch. Throws EMPTY before the first {@link add}. */
  meanMagnitude(): Float64Array {
    this.checkAny()
    return this.statistics.meanMagnitude()
  }

  private check(x: Float32Array, tokens: number, weights: Float32Array | undefined): void {
    checkMatrix(x, tokens, this.inFeatures, 'x')
    if (weights === undefined) return
    checkMatrix(weights, tokens, 1, 'weights')
    const negative = weights.findIndex(weight => weight < 0)
    if (negative >= 0) {
      throw new PyramidionError(
        'INVALID_ARGUMENT',
        `weights must be 0 or more, got ${weights[negative]} for token ${negative}`,
      )
    }
  }

  private checkAny(): void {
    if (this.tokens === 0) throw new PyramidionError('EMPTY', 'hessian has seen no inputs; call add first')
  }
}
