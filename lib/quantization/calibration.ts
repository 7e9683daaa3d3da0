/**
 * What the calibration text says about each linear layer, asked for in the order of computation: layers that share an input
 * share what was gathered for it.
 */
import type { ModelSource } from '../checkpoint/model-source.js'
import { DriftCorrection } from '../linear/drift.js'
import { inputOf, type LinearInput } from '../model/block.js'
import { Propagation, type PropagationOptions } from './propagation.js'
import type { LayerStatistics } from './quantize-layer.js'

export class Calibration {
  #propagation?: Propagation
  #latest?: { layer: number; input: LinearInput; statistics: LayerStatistics }

  constructor(
    private readonly source: ModelSource,
    private readonly windows: Int32Array[],
    private readonly options: PropagationOptions,
  ) {}

  /** Of a weight; undefined where it has no input that text goes through (embedding and head). */
  async statisticsOf(weight: string): Promise<LayerStatistics | undefined> {
    const place = inputOf(weight)
    if (place === undefined) return undefined
    const { layer, input } = place
    if (this.#latest?.layer === layer && this.#latest.input === input) return this.#latest.statistics
    this.#latest = undefined
    this.#propagation ??= await Propagation.start(this.source, this.windows, this.options)
    const { hessian, drift, residualDrift } = await this.#propagation.advance(layer, input)
    const correction = drift && (await DriftCorrection.create(hessian, drift, residualDrift))
    const statistics = { hessian, correction }
    this.#latest = { layer, input, statistics }
    return statistics
  }
}
