/**
 * Calibrated ("Hessian-guided") rounding of one weight matrix: the rows that share an input are coded so that the expected
 * error of the outputs, (w - q)' E[x x'] (w - q), is small, instead of the error of the weights. Error feedback (GPTQ, arXiv
 * 2210.17323; LDLQ, arXiv 2307.13304), then coordinate descent over the groups; the numerics are in native/core/calibrated.
 */
import { type GuideSettings, type NativePvqGuide, native, type PvqWeights, type RowCoupling } from '../native.js'
import type { PvqEncodeOptions, PvqQuantizer } from '../quantizers/pvq.js'
import { pvqSegments } from '../quantizers/pvq-levels.js'
import { runRows } from '../quantizers/row-job.js'
import { rotateMoments } from './rotated-moments.js'

/** `guided`: for the outputs, given statistics of the inputs. `nearest`: each group by itself. */
export type Rounding = 'guided' | 'nearest'
export const roundings: readonly Rounding[] = ['guided', 'nearest']

/** The ridge is what GPTQ uses; more moves and sweeps than these change the error by less than 1 %. */
const defaults: GuideSettings = { ridge: 0.01, moves: 8, sweeps: 4, feedback: true, ordered: true }

export class RoundingGuide {
  readonly #segments
  readonly #guide: NativePvqGuide

  private constructor(
    quantizer: PvqQuantizer,
    private readonly columns: number,
    hessian: Float64Array,
    settings: Partial<GuideSettings>,
  ) {
    this.#segments = pvqSegments(quantizer.segmentShapes(columns), columns)
    this.#guide = new native.PvqGuide(columns, this.#segments, hessian, { ...defaults, ...settings })
  }

  /**
   * For rows of `columns` weights that were rotated with `rotationSeed` (null: not at all). `metric`: columns x columns, what
   * errors are weighed by, E[x x'] or a weighted form of it, of inputs that are not rotated.
   */
  static async create(
    quantizer: PvqQuantizer,
    columns: number,
    metric: Float64Array,
    rotationSeed: number | null,
    settings: Partial<GuideSettings> = {},
  ): Promise<RoundingGuide> {
    return new RoundingGuide(quantizer, columns, await rotateMoments(metric.slice(), columns, rotationSeed), settings)
  }

  /** Codes rows x columns values; with `coupling`, all rows of a matrix. */
  async encodeRows(
    values: Float32Array,
    rows: number,
    options: PvqEncodeOptions,
    coupling?: RowCoupling,
  ): Promise<PvqWeights> {
    const encoded = await runRows(rows, options, control =>
      this.#guide.encodeAsync(values, rows, control, coupling, options.onGpu),
    )
    return { format: 'pvq', rows, columns: this.columns, segments: this.#segments, ...encoded }
  }

  /** Lets go of what a GPU keeps for it; collected memory would be let go too late for the next matrix. */
  release(): void {
    this.#guide.release()
  }
}
