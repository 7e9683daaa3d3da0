/**
 * Makes up for what was quantized earlier: a layer that was to see x sees z, since the layers before it have changed. The
 * weights that predict the layer's output W x best from z are W E[x z^T] E[z z^T]^-1 = W + W D H^-1 with the drift
 * D = E[(x - z) z^T] and H = E[z z^T]; see docs/architecture.md, "Propagation".
 */
import { type DenseWeights, type NativeDriftMoment, native } from '../native.js'
import type { Hessian } from './hessian.js'

/** E[(x - y) z^T]: how values y that are to be like x differ from them, seen from the inputs z of a layer. */
export class DriftMoment {
  private readonly moment: NativeDriftMoment

  /** @param width of x and y. @param inputWidth of z. */
  constructor(
    readonly width: number,
    readonly inputWidth: number,
  ) {
    this.moment = new native.DriftMoment(width, inputWidth)
  }

  /** Adds x and y (tokens x width) and z (tokens x inputWidth), row-major. */
  add(x: Float32Array, y: Float32Array, z: Float32Array, tokens: number): void {
    this.moment.add(x, y, z, tokens)
  }

  /** width x inputWidth. Throws EMPTY before the first {@link add}. */
  mean(): Float64Array {
    return this.moment.mean()
  }
}

/**
 * Shares of the two corrections that are made: what is estimated from some text is less true of any other. And the ridge that
 * they are estimated with, a share of H's mean diagonal.
 */
const INPUT_STRENGTH = 0.75
const RESIDUAL_STRENGTH = 0.5
const RIDGE = 0.01

/** The correction of the layers that share an input. */
export class DriftCorrection {
  private constructor(
    /** M = D H^-1, inputWidth x inputWidth. */
    private readonly map: Float32Array,
    /** The same for the residual stream that the layer's output is added to, outputs x inputWidth. */
    private readonly residualMap?: Float32Array,
  ) {}

  /**
   * @param hessian of the inputs z.
   * @param drift of the inputs: E[(x - z) z^T].
   * @param residualDrift E[(r - s) z^T] of a residual stream s that is to be like r, to which the layers add their output.
   */
  static async create(hessian: Hessian, drift: DriftMoment, residualDrift?: DriftMoment): Promise<DriftCorrection> {
    const mean = hessian.mean()
    const map = (moment: DriftMoment) =>
      native.ridgeRegressionAsync(moment.mean(), moment.width, moment.inputWidth, mean, RIDGE)
    return new DriftCorrection(await map(drift), residualDrift && (await map(residualDrift)))
  }

  /** What to round in the place of `weight` (rows x inputWidth). */
  async target(weight: DenseWeights): Promise<Float32Array> {
    const { rows, columns } = weight
    const values = new Float32Array(rows * columns)
    await native.decodeRowsAsync(weight, 0, rows, values)
    const target = values.slice()
    await native.addProductAsync(values, this.map, rows, columns, columns, INPUT_STRENGTH, target)
    if (this.residualMap !== undefined) {
      for (let i = 0; i < target.length; i++) target[i] += RESIDUAL_STRENGTH * this.residualMap[i]
    }
    return target
  }
}
