/**
 * What the errors of a layer's outputs count for: G = E[g g^T] of the gradients g at them, damped, because its estimate is
 * noisy. See native/core/calibrated/output_weights.h.
 */
import { native, type RowCoupling } from '../native.js'

/** What of G counts beside the identity of the same trace. */
export const OUTPUT_SHARE = 0.9

export class OutputWeights {
  /** For rounding, which weighs the errors of all rows together. */
  readonly coupling: RowCoupling
  #factor?: Promise<Float64Array>

  /** @param outputHessian out x out; not changed. */
  constructor(
    outputHessian: Float64Array,
    private readonly rows: number,
  ) {
    this.coupling = { outputHessian, share: OUTPUT_SHARE }
  }

  /** L^T times a matrix of `rows` rows, L L^T = G: its error without weights is the matrix's with them. */
  async weigh(values: Float32Array): Promise<Float32Array> {
    return native.weighOutputsAsync(values, this.rows, values.length / this.rows, await this.#lower())
  }

  /** The inverse of {@link weigh}. */
  async unweigh(values: Float32Array): Promise<Float32Array> {
    return native.weighOutputsAsync(values, this.rows, values.length / this.rows, await this.#lower(), true)
  }

  #lower(): Promise<Float64Array> {
    const { outputHessian, share } = this.coupling
    this.#factor ??= native.outputFactorAsync(outputHessian, this.rows, share)
    return this.#factor
  }
}
