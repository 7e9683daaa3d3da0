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

  /** @param inFeatures width of the inputs, 1 to 32768; 8 bytes times its square are held. */
  constructor(readonly inFeatures: number) {
    checkInteger('inFeatures', inFeatures, 1, MAXIMUM_WIDTH)
    this.statistics = new native.Hessian(inFeatures)
  }

  /** Inputs seen so far. */
  get tokens(): number {
    return this.statistics.tokens
  }

  /**
   * Adds the inputs `x` (tokens x inFeatures, row-major), one batch: `l2qer` takes the largest mean magnitude of any batch.
   * Throws INVALID_SHAPE, EMPTY or NOT_FINITE.
   */
  add(x: Float32Array, tokens: number): void {
    checkMatrix(x, tokens, this.inFeatures, 'x')
    this.statistics.add(x, tokens)
  }

  /** The same on another thread; x must not change until it settles. */
  async addAsync(x: Float32Array, tokens: number): Promise<void> {
    checkMatrix(x, tokens, this.inFeatures, 'x')
    await this.statistics.addAsync(x, tokens)
  }

  /** E[x x^T], inFeatures x inFeatures. Throws EMPTY before the first {@link add}. */
  mean(): Float64Array {
    this.checkAny()
    return this.statistics.mean()
  }

  /** For each input, the largest mean of |x| over a batch. Throws EMPTY before the first {@link add}. */
  meanMagnitude(): Float64Array {
    this.checkAny()
    return this.statistics.meanMagnitude()
  }

  private checkAny(): void {
    if (this.tokens === 0) throw new PyramidionError('EMPTY', 'hessian has seen no inputs; call add first')
  }
}
