/**
 * A vector of a quantized model while it is being refitted, in the units that Adam's steps are in: logarithms of row scales and
 * gain levels, which so keep their signs, and norm weights relative to their root mean square. The model's own values are
 * rounded (row scales are halves); small steps add up in the exact ones kept here.
 */
import type { Refittable } from '../model/refittable.js'
import { Adam } from './adam.js'

/** From a level to the next, relative: still a rise in single precision. */
const LEAST_RISE = 1e-6

export class RefittedVector {
  readonly #values: Float64Array
  readonly #adam: Adam
  /** Of a change of a norm's weight; undefined where changes are factors. */
  readonly #unit?: number
  /** Levels that are above the one before them; others begin the levels of a further code. */
  readonly #ascending: number[]

  constructor(private readonly refittable: Refittable) {
    this.#values = Float64Array.from(refittable.values())
    this.#adam = new Adam(this.#values.length)
    if (refittable.kind === 'norm') this.#unit = rootMeanSquare(this.#values)
    const levels = refittable.kind === 'levels' ? [...this.#values.keys()].slice(1) : []
    this.#ascending = levels.filter(i => this.#values[i] > this.#values[i - 1])
  }

  get name(): string {
    return this.refittable.name
  }

  /** Of the model as it is now. */
  values(): Float32Array {
    return this.refittable.values()
  }

  /** Changes the model by a step against the gradient that its owner gathered of a loss, which is divided by `weight`. */
  step(weight: number, rate: number): void {
    const { gradient } = this.refittable
    const unit = this.#unit
    const scaled = gradient.map((g, i) => (g * (unit ?? this.#values[i])) / weight)
    for (const [i, change] of this.#adam.step(scaled, rate).entries()) {
      if (unit === undefined) this.#values[i] *= Math.exp(change)
      else this.#values[i] += unit * change
    }
    for (const i of this.#ascending) this.#values[i] = Math.max(this.#values[i], this.#values[i - 1] * (1 + LEAST_RISE))
    this.refittable.assign(Float32Array.from(this.#values))
  }
}

function rootMeanSquare(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
}
